from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import SPEECH, numbered, write_clip
from numpy.typing import NDArray
from stamps import SOUND, shift_stamp

from moodreel.schemas.config import SoundConfig
from moodreel.tasks.acoustics import NUM_FEATURES, SoundAnalyst
from moodreel.tasks.sound import has_sound, stream_sound

RATE = 16_000


@pytest.fixture(scope="module")
def analyst() -> SoundAnalyst:
    return SoundAnalyst(SoundConfig())


def with_sound(
    path: Path,
    samples: NDArray[np.float32],
    rate: int,
    layout: str,
    codec: str,
    start_s: float = 0.0,
) -> Path:
    """A clip with (channels, n) float32 sound."""
    with av.open(str(path), "w") as out:
        picture = out.add_stream("mpeg4", rate=25)
        picture.width, picture.height, picture.pix_fmt = 160, 96, "yuv420p"
        track = out.add_stream(codec, rate=rate, layout=layout)
        for frame in numbered(50):
            out.mux(picture.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(picture.encode())
        resampler = av.AudioResampler(
            track.format.name, layout, rate, frame_size=track.codec_context.frame_size or 1024
        )
        sound = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
        sound.sample_rate, sound.pts, sound.time_base = rate, round(start_s * rate), Fraction(1, rate)
        for piece in [sound, None]:
            for ready in resampler.resample(piece):
                out.mux(track.encode(ready))
        out.mux(track.encode())
    return path


def tone(seconds: float, rate: int, channels: int = 1, hz: float = 440.0, level: float = 0.5) -> NDArray[np.float32]:
    wave = level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave.astype(np.float32)[None], channels, axis=0)


def heard(path: Path) -> NDArray[np.float32]:
    errors: list[str] = []
    sound = np.concatenate(list(stream_sound(str(path), errors)))
    assert errors == []
    return sound


@pytest.mark.parametrize(
    ("rate", "layout", "channels", "codec", "name"),
    [
        (8_000, "mono", 1, "pcm_s16le", "a.avi"),
        (96_000, "stereo", 2, "pcm_s24le", "a.mkv"),
        (48_000, "5.1", 6, "ac3", "a.mkv"),
        (44_100, "stereo", 2, "libmp3lame", "a.avi"),
        (48_000, "stereo", 2, "libopus", "a.mkv"),
        (22_050, "mono", 1, "aac", "a.mp4"),
    ],
)
def test_any_codec_rate_and_channels_become_16_khz_mono(
    tmp_path: Path, rate: int, layout: str, channels: int, codec: str, name: str
) -> None:
    clip = with_sound(tmp_path / name, tone(2, rate, channels), rate, layout, codec)
    sound = heard(clip)
    assert abs(len(sound) / RATE - 2) < 0.1
    spectrum = np.abs(np.fft.rfft(sound[RATE // 2 : RATE // 2 + RATE]))
    assert spectrum.argmax() == 440  # one second: a bin is a hertz


def test_sound_that_starts_late_keeps_its_time(tmp_path: Path) -> None:
    clip = with_sound(tmp_path / "a.mkv", tone(1, RATE), RATE, "mono", "pcm_s16le", start_s=1.0)
    sound = heard(clip)
    assert np.abs(sound[: int(0.95 * RATE)]).max() == 0
    assert np.abs(sound[int(1.05 * RATE) : int(1.9 * RATE)]).max() > 0.4


def test_one_stamp_that_leaps_moves_no_sound(tmp_path: Path) -> None:
    clip = with_sound(tmp_path / "a.ts", tone(4, 48_000), 48_000, "mono", "mp2")
    whole = heard(clip)
    shift_stamp(clip, SOUND, 3, seconds=600)
    errors: list[str] = []
    found = np.concatenate(list(stream_sound(str(clip), errors)))
    np.testing.assert_array_equal(found, whole)
    assert errors and all("a time stamp leaps to 60" in error for error in errors)


def test_sound_behind_a_clock_that_jumps_back_is_left_out_and_told(tmp_path: Path) -> None:
    part = with_sound(tmp_path / "a.ts", tone(4, 48_000), 48_000, "mono", "mp2")
    (tmp_path / "joined.ts").write_bytes(part.read_bytes() * 2)
    errors: list[str] = []
    found = np.concatenate(list(stream_sound(str(tmp_path / "joined.ts"), errors)))
    assert abs(len(found) / RATE - 4) < 0.1
    assert len(errors) == 1 and "the clock jumps back" in errors[0]


def test_no_audio_stream_is_seen(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", numbered(5))
    assert not has_sound(str(tmp_path / "a.mp4"))


@pytest.mark.parametrize(
    ("seconds", "windows"), [(0.3, 1), (1.0, 1), (2.0, 1), (2.5, 2), (3.0, 2), (3.01, 3), (5.0, 4)]
)
def test_windows_cover_the_sound(analyst: SoundAnalyst, seconds: float, windows: int) -> None:
    [table] = analyst.describe([tone(seconds, RATE)[0]])
    assert table.num_rows == windows
    assert table["window_id"].to_pylist() == table["t0_s"].to_pylist() == list(range(windows))
    assert table["t1_s"].to_pylist()[-1] == pytest.approx(seconds)
    assert {len(row) for row in table["features"].to_pylist()} == {NUM_FEATURES}
    assert np.isfinite(np.array(table["features"].to_pylist())).all()


def test_windows_do_not_depend_on_the_pieces(analyst: SoundAnalyst) -> None:
    sound = np.concatenate([tone(1.3, RATE)[0], np.zeros(9_000, np.float32), tone(2, RATE, hz=200)[0]])
    whole = list(analyst.describe([sound]))
    pieces = list(analyst.describe(np.array_split(sound, 37)))
    assert whole == pieces


def test_speech_is_told_from_a_tone_and_silence_has_no_level(analyst: SoundAnalyst, tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", numbered(25), sound=SPEECH)
    [speech] = analyst.describe([heard(tmp_path / "a.mp4")])
    [noise] = analyst.describe([tone(4, RATE)[0]])
    [silence] = analyst.describe([np.zeros(4 * RATE, np.float32)])
    assert np.mean(speech["speech_share"].to_pylist()) > 0.5
    assert max(noise["speech_share"].to_pylist()) < 0.1
    assert silence["level_dbfs"].null_count == silence.num_rows
    # a sine of amplitude 0.5: 20 log10(0.5 / sqrt 2)
    assert noise["level_dbfs"].to_pylist()[0] == pytest.approx(-9.03, abs=0.01)


def test_the_speech_threshold_has_an_effect(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", numbered(25), sound=SPEECH)
    shares = []
    for threshold in (0.05, 0.99):
        [table] = SoundAnalyst(SoundConfig(speech_threshold=threshold)).describe([heard(tmp_path / "a.mp4")])
        shares.append(sum(table["speech_share"].to_pylist()))
    assert shares[0] > shares[1]
