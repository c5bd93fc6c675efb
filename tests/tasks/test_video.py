from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from clips import SPEECH, encode, numbered, pan_cut_pan, portrait_clip

from moodreel.models.registry import DEFAULTS
from moodreel.schemas.config import AnalysisConfig, SoundConfig
from moodreel.schemas.labels import LABELS
from moodreel.schemas.reasons import VideoError
from moodreel.schemas.values import Outcome, Part, Segment, StepResult, Unit, UnitEnd, VideoFile
from moodreel.tasks.assemble import assemble_video
from moodreel.tasks.discover import discover_videos
from moodreel.tasks.plan import VideoWork, wanted_steps
from moodreel.tasks.units import cut_units
from moodreel.tasks.video import VideoAnalyst
from moodreel.warehouse.staging import StagingArea

CONFIG = AnalysisConfig(face_models=DEFAULTS["face"][:1], sound=SoundConfig(), features=True)


@pytest.fixture(scope="module")
def analyst() -> VideoAnalyst:
    made = VideoAnalyst(CONFIG)
    made.setup()
    return made


def file_in(folder: Path) -> VideoFile:
    [file] = discover_videos(folder).files
    return file


def results_of(
    analyst: VideoAnalyst, file: VideoFile, segment_s: float, area: StagingArea, wanted: AnalysisConfig = CONFIG
) -> dict[str, pa.Table]:
    """One video through its units, put together: all tables by name."""
    work = VideoWork(file, wanted_steps(wanted))
    units = cut_units(file, analyst.probe(file), work.steps, CONFIG.picture, segment_s)
    staged = area.video(file.video_id)
    ends = []
    for number, unit in enumerate(units):
        for piece in analyst.analyse(unit):
            if isinstance(piece, Part):
                staged.add(number, piece)
            else:
                ends.append(piece)
    staged.close()
    results: list[StepResult] = assemble_video(work, CONFIG, staged, ends[1:], ends[0])
    tables = {name: reader().read_all() for result in results for name, reader in result.tables.items()}
    staged.remove()
    return tables


def test_a_portrait_is_one_person_in_every_frame_and_smiles(analyst: VideoAnalyst, tmp_path: Path) -> None:
    portrait_clip(tmp_path / "a.mp4", seconds=3, sound=SPEECH)
    area = StagingArea(tmp_path / "w", "run")
    tables = results_of(analyst, file_in(tmp_path), 120, area)
    area.close()
    assert tables["frames"]["num_faces"].to_pylist() == [1] * 15
    assert tables["frames"]["ts_s"].to_pylist() == pytest.approx([i / 5 for i in range(15)])
    assert tables["faces"]["face_id"].to_pylist() == list(range(15))
    assert set(tables["faces"]["track_id"].to_pylist()) == {0}
    assert tables["crops"].num_rows == tables["face_emotions"].num_rows == tables["face_features"].num_rows == 15
    assert tables["face_emotions"]["label"].to_pylist().count("happy") > 10
    sums = sum(tables["face_emotions"][label].to_numpy() for label in LABELS)
    np.testing.assert_allclose(sums, 1, atol=1e-5)
    assert tables["audio_windows"]["window_id"].to_pylist() == list(range(tables["audio_windows"].num_rows))


def test_slow_pictures_are_given_away_one_by_one_and_are_the_same(
    analyst: VideoAnalyst, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As 8K pictures are, of which hundreds in one piece would take longer than a worker may be silent."""
    portrait_clip(tmp_path / "a.mp4", seconds=1)
    unit = Unit(file_in(tmp_path), Segment())
    together = [piece for piece in analyst.analyse(unit) if isinstance(piece, Part)]
    monkeypatch.setattr("moodreel.tasks.video._SECONDS_AT_ONCE", 0.0)
    apart = [piece for piece in analyst.analyse(unit) if isinstance(piece, Part)]
    tables = [piece.table for piece in together]
    assert [piece.table for piece in apart] == [name for _ in range(5) for name in tables] + [*tables]
    for whole in together:
        pieces = [piece.rows for piece in apart if piece.table == whole.table]
        assert pa.concat_tables(pieces).equals(whole.rows), whole.table


def test_faces_without_a_wanted_models_verdict_are_no_verdict_of_none(analyst: VideoAnalyst, tmp_path: Path) -> None:
    """As where a worker has other weights under the model's name."""
    portrait_clip(tmp_path / "a.mp4", seconds=1)
    area = StagingArea(tmp_path / "w", "run")
    with pytest.raises(VideoError, match=r"0 rows of face_emotions for 5 faces; do all workers have small-vgg-"):
        results_of(analyst, file_in(tmp_path), 120, area, CONFIG.model_copy(update={"face_models": ("small-vgg",)}))
    area.close()


def test_windows_without_a_wanted_models_verdict_are_no_verdict_of_none(analyst: VideoAnalyst, tmp_path: Path) -> None:
    portrait_clip(tmp_path / "a.mp4", seconds=1, sound=SPEECH)
    area = StagingArea(tmp_path / "w", "run")
    wanted = CONFIG.model_copy(update={"voice_models": DEFAULTS["voice"]})  # the analyst has none
    said = rf"0 rows of voice_emotions for \d+ windows; do all workers have {DEFAULTS['voice'][0]}-"
    with pytest.raises(VideoError, match=said):
        results_of(analyst, file_in(tmp_path), 120, area, wanted)
    area.close()


def test_rows_do_not_depend_on_the_segments(analyst: VideoAnalyst, tmp_path: Path) -> None:
    frames = list(pan_cut_pan(40))
    encode(tmp_path / "a.mp4", frames, [Fraction(i, 10) for i in range(40)], options={"g": "9"})
    file = file_in(tmp_path)
    area = StagingArea(tmp_path / "w", "run")
    whole = results_of(analyst, file, 120, area)
    cut = results_of(analyst, file, 0.7, area)
    area.close()
    assert whole.keys() == cut.keys()
    for name, table in whole.items():
        assert table == cut[name], name
    assert whole["faces"].num_rows > 10


def test_sound_outcomes_are_none_silent_and_ok(analyst: VideoAnalyst, tmp_path: Path) -> None:
    def outcome(path: Path) -> Outcome:
        path.parent.mkdir(exist_ok=True)
        end = list(analyst.analyse(Unit(file_in(path.parent), None)))[-1]
        assert isinstance(end, UnitEnd)
        return end.outcome

    assert outcome(portrait_clip(_in(tmp_path, "none"), 1)) is Outcome.NONE
    assert outcome(portrait_clip(_in(tmp_path, "ok"), 1, SPEECH)) is Outcome.OK
    silence = tmp_path / "silence.wav"
    _write_silence(silence)
    assert outcome(portrait_clip(_in(tmp_path, "silent"), 1, silence)) is Outcome.SILENT
    assert outcome(_with_unknown_sound(_in(tmp_path, "unknown", "a.avi"))) is Outcome.BROKEN
    broken = portrait_clip(_in(tmp_path, "broken", "a.avi"), 1)
    _add_rubble_sound(broken)
    assert outcome(broken) is Outcome.BROKEN


def _in(folder: Path, name: str, file: str = "a.mp4") -> Path:
    (folder / name).mkdir()
    return folder / name / file


def _write_silence(path: Path) -> None:
    import wave

    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes(bytes(2 * 32_000))


def _with_unknown_sound(path: Path) -> Path:
    """A clip whose sound says that it is of a kind that nobody decodes."""
    import av

    with av.open(str(path), "w") as out:
        picture, track = out.add_stream("mjpeg", rate=5), out.add_stream("pcm_s16le", rate=16_000, layout="mono")
        picture.width, picture.height, picture.pix_fmt = 160, 96, "yuvj420p"
        for frame in numbered(5):
            out.mux(picture.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.int16), format="s16", layout="mono")
        sound.sample_rate = 16_000
        out.mux([*picture.encode(), *track.encode(sound), *track.encode()])
    data = bytearray(path.read_bytes())
    at = data.rindex(b"strf") + 8
    data[at : at + 2] = b"\x77\x77"
    path.write_bytes(data)
    return path


def _add_rubble_sound(path: Path) -> None:
    """Give a clip an AAC stream whose every packet is rubble."""
    import av

    made = path.with_suffix(".mkv")
    with av.open(str(path)) as source, av.open(str(SPEECH)) as speech, av.open(str(made), "w") as out:
        picture = out.add_stream_from_template(source.streams.video[0])
        track = out.add_stream_from_template(speech.streams.audio[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = picture
                out.mux(packet)
        for packet in speech.demux(audio=0):
            if packet.dts is not None:
                rubble = av.Packet(b"\xff\xff\xff")
                rubble.pts, rubble.dts, rubble.time_base, rubble.stream = (
                    packet.pts,
                    packet.dts,
                    packet.time_base,
                    track,
                )
                out.mux(rubble)
    path.unlink()


def test_an_empty_segment_gives_empty_tables(analyst: VideoAnalyst, tmp_path: Path) -> None:
    portrait_clip(tmp_path / "a.mp4", 1)
    pieces = list(analyst.analyse(Unit(file_in(tmp_path), Segment(1000, None))))
    assert [piece.rows.num_rows for piece in pieces if isinstance(piece, Part)] == [0, 0, 0, 0]
