"""The voice in a run: verdicts for speech alone, from stored features too, and what the tables say of odd sound."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import SPEECH, numbered, portrait_clip, write_clip
from commands import command
from lakes import assert_equal
from other_model import VOICE, other_model

from moodreel.flows import cli
from moodreel.flows.run import RunReport, run_night
from moodreel.models.registry import DEFAULTS, read_manifest
from moodreel.schemas.config import NightRequest
from moodreel.schemas.labels import LABELS
from moodreel.schemas.manifest import Manifest
from moodreel.schemas.values import RunCounts
from moodreel.warehouse.ask import ask


@pytest.fixture
def voice(tmp_path: Path) -> Iterator[Manifest]:
    """A default voice model, of random weights: what it says is of no interest here, where it says it is."""
    (tmp_path / "registry").mkdir()
    with other_model(tmp_path / "registry", "voice") as manifest:
        yield manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_videos(tmp_path)


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Path, RunReport]:
    """A voice model, a warehouse that it was used for, and what that night said."""
    home = tmp_path_factory.mktemp("heard")
    (home / "registry").mkdir()
    with other_model(home / "registry", "voice") as manifest:
        report = report_of(make_videos(home), home / "lake")
    assert report.summary.counts.num_analysed == 4
    return manifest, home / "lake", report


def make_videos(home: Path) -> Path:
    folder = home / "videos"
    folder.mkdir()
    portrait_clip(folder / "speech.mp4", seconds=3, sound=SPEECH)
    portrait_clip(folder / "mute.mp4", seconds=1)
    write_clip(folder / "tone.mp4", numbered(30), fps=10, sound=sound_file(home / "tone.wav", 440.0))
    write_clip(folder / "silence.mp4", numbered(31), fps=10, sound=sound_file(home / "silence.wav", 0.0))
    return folder


def sound_file(path: Path, hz: float) -> Path:
    """Three seconds of a tone, or of digital silence at 0 Hz."""
    samples = (12_000 * np.sin(2 * np.pi * hz * np.arange(48_000) / 16_000)).astype(np.int16)[None]
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = 16_000
        out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def report_of(folder: Path, warehouse: Path, **settings: object) -> RunReport:
    request = {"folder": str(folder), "warehouse": str(warehouse), "workers": 0, **settings}
    return run_night(NightRequest.model_validate(request))


def run(folder: Path, warehouse: Path, **settings: object) -> RunCounts:
    return report_of(folder, warehouse, **settings).summary.counts


def rows(warehouse: Path, query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(warehouse, query).to_pylist()
    return found


def test_speech_gets_a_verdict_and_silence_and_tones_get_none(heard: tuple[Manifest, Path, RunReport]) -> None:
    voice, lake, _ = heard
    videos = rows(
        lake,
        "SELECT parse_filename(path) AS name, sound, dominant_emotion, num_windows, seconds_of_speech"
        f" FROM video_voice WHERE model_id = '{voice.model_id}' ORDER BY name",
    )
    by_name = {row.pop("name"): row for row in videos}
    assert {name: row["sound"] for name, row in by_name.items()} == {
        "speech.mp4": "ok",
        "mute.mp4": "none",
        "tone.mp4": "ok",
        "silence.mp4": "silent",
    }
    assert by_name["speech.mp4"]["num_windows"] >= 1 and by_name["speech.mp4"]["dominant_emotion"] is not None
    assert 3 < by_name["speech.mp4"]["seconds_of_speech"] < 8  # all of the speech, longer than the picture
    for name in ("mute.mp4", "tone.mp4", "silence.mp4"):
        assert (by_name[name]["dominant_emotion"], by_name[name]["num_windows"]) == (None, 0), name
    # a window without speech is a row of NULLs, not a neutral one
    [count] = rows(
        lake,
        "SELECT count(*) AS n, count(label) AS verdicts, count(neutral) AS probabilities"
        " FROM voice_emotions JOIN videos USING (video_id) WHERE path LIKE '%tone%' OR path LIKE '%silence%'",
    )
    assert count["n"] >= 4 and count["verdicts"] == count["probabilities"] == 0


def test_a_verdict_names_the_modalities_it_rests_on(heard: tuple[Manifest, Path, RunReport]) -> None:
    voice, lake, report = heard
    verdicts = rows(
        lake,
        "SELECT parse_filename(path) AS name, rests_on, emotion, emotion IS NULL AS is_open,"
        " face_weight + voice_weight AS total"
        f" FROM video_verdict WHERE from_s IS NULL AND voice_model_id = '{voice.model_id}'"
        f" AND face_model_id = '{read_manifest(DEFAULTS['face'][0]).model_id}' ORDER BY name",
    )
    assert [(row["name"], row["rests_on"], row["is_open"]) for row in verdicts] == [
        ("mute.mp4", "face", False),
        ("silence.mp4", "none", True),
        ("speech.mp4", "face and voice", False),
        ("tone.mp4", "none", True),
    ]
    assert [row["total"] for row in verdicts] == pytest.approx([1, 0, 1, 0])
    # the closing table says the same
    assert [row["verdict"] for row in report.rows] == [row["emotion"] for row in verdicts]
    told = [row["voice"] for row in report.rows]
    assert told[:2] == ["none", "silent"] and told[2] in LABELS and told[3] == "no speech"


@pytest.mark.slow
def test_a_rerun_gives_the_rows_of_a_run_without_the_videos(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    early, whole = tmp_path / "early", tmp_path / "whole"
    run(folder, early)
    (tmp_path / "registry").mkdir()
    with other_model(tmp_path / "registry", "voice"), other_model(tmp_path / "registry") as face:
        run(folder, whole)
        for video in folder.iterdir():
            video.unlink()
        words = ["rerun", "--models", f"{VOICE},{face.name}", "--warehouse", str(early), "--json"]
        code, out, _ = command(monkeypatch, capfd, *words)
        counts = json.loads(out)
        assert (code, counts["num_analysed"], counts["num_skipped"], counts["num_failed"]) == (0, 4, 0, 0)
        assert_equal(early, whole)
        code, out, _ = command(monkeypatch, capfd, *words)
        counts = json.loads(out)
        assert (code, counts["num_analysed"], counts["num_skipped"]) == (0, 0, 4)
        assert_equal(early, whole)


@pytest.mark.slow
def test_a_voice_model_asked_for_later_is_added_by_a_run(folder: Path, tmp_path: Path) -> None:
    (folder / "tone.mp4").unlink()
    run(folder, tmp_path / "lake")
    (tmp_path / "registry").mkdir()
    with other_model(tmp_path / "registry", "voice") as manifest:
        assert run(folder, tmp_path / "lake").num_analysed == 3
        assert run(folder, tmp_path / "lake").num_skipped == 3
        models = rows(tmp_path / "lake", "SELECT DISTINCT model_id FROM voice_emotions")
    assert manifest.model_id in {row["model_id"] for row in models}


def test_no_audio_leaves_the_voice_out(folder: Path, tmp_path: Path, voice: Manifest) -> None:
    for name in ("mute.mp4", "silence.mp4"):
        (folder / name).unlink()
    run(folder, tmp_path / "lake", audio=False)
    assert (
        rows(tmp_path / "lake", "SELECT DISTINCT step FROM steps WHERE step IN ('voice_emotions', 'audio_windows')")
        == []
    )
    assert {row["rests_on"] for row in rows(tmp_path / "lake", "SELECT rests_on FROM video_verdict")} == {
        "face",
        "none",
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", ".", "--models", VOICE, "--no-audio"), "--no-audio leaves nothing for debug-voice to hear"),
        (("rerun", "--models", "nobody"), "no model 'nobody'"),
        (("rerun", "--models", ","), "name a model"),
    ],
)
def test_a_mistake_is_one_line(
    words: tuple[str, ...], said: str, tmp_path: Path, voice: Manifest, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    code, out, err = command(monkeypatch, capfd, *words, "--warehouse", str(tmp_path / "lake"))
    assert (code, out, len(err.splitlines())) == (cli.EXIT_USAGE, "", 1)
    assert said in err
    assert not (tmp_path / "lake").exists()


def test_face_models_alone_leave_the_voice_default_on(tmp_path: Path, voice: Manifest) -> None:
    (tmp_path / "videos").mkdir()
    portrait_clip(tmp_path / "videos" / "speech.mp4", seconds=3, sound=SPEECH)
    run(tmp_path / "videos", tmp_path / "lake", models=("small-vgg",))
    assert rows(tmp_path / "lake", "SELECT DISTINCT model_id FROM voice_emotions")
