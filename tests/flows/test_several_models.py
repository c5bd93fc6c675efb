"""Several face models in one pass, deep features, and weights that are not what they should be."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import portrait_clip
from lakes import assert_equal
from other_model import other_model

from moodreel.flows import cli
from moodreel.flows.run import run_night
from moodreel.models.registry import DEFAULTS, read_manifest
from moodreel.schemas.config import NightRequest, PictureConfig
from moodreel.schemas.manifest import Manifest, VectorInput
from moodreel.schemas.values import RunCounts
from moodreel.tasks import video
from moodreel.tasks.crops import open_crop
from moodreel.tasks.emotions import EmotionClassifier
from moodreel.warehouse.ask import ask

SHIPPED = DEFAULTS["face"]  # before a test adds to it


@pytest.fixture
def featureless(tmp_path: Path) -> Iterator[Manifest]:
    """A second default model, one without deep features."""
    (tmp_path / "registry").mkdir()
    with other_model(tmp_path / "registry", num_features=None) as manifest:
        yield manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "videos").mkdir()
    portrait_clip(tmp_path / "videos" / "a.mp4", seconds=1)
    return tmp_path / "videos"


def run(folder: Path, warehouse: Path, **settings: object) -> RunCounts:
    request = {"folder": str(folder), "warehouse": str(warehouse), "workers": 0, "audio": False, **settings}
    return run_night(NightRequest.model_validate(request)).summary.counts


def rows_by_model(warehouse: Path, table: str) -> dict[str, int]:
    rows = ask(warehouse, f"SELECT model_id, count(*) AS n FROM {table} GROUP BY model_id").to_pylist()
    return {row["model_id"]: row["n"] for row in rows}


def refusal(folder: Path, warehouse: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any, *words: str) -> str:
    """The one line that `moodreel run` says instead of running."""
    monkeypatch.setattr(sys, "argv", ["moodreel", "run", str(folder), "--warehouse", str(warehouse), *words])
    with pytest.raises(SystemExit) as ending:
        cli.main()
    printed = capfd.readouterr()
    assert (ending.value.code, printed.out) == (cli.EXIT_USAGE, "")
    [line] = printed.err.splitlines()
    return str(line)


def count_calls(monkeypatch: pytest.MonkeyPatch, name: str) -> list[object]:
    """Note each call of a function of tasks/video.py, which goes on working as it is."""
    calls: list[object] = []
    function = getattr(video, name)

    def noted(*values: Any) -> Any:
        calls.append(values)
        return function(*values)

    monkeypatch.setattr(video, name, noted)
    return calls


def test_all_default_models_see_the_same_faces_in_one_pass(
    folder: Path, tmp_path: Path, featureless: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    decodings, cuts, openings = (count_calls(monkeypatch, name) for name in ("sample_frames", "cut_crop", "open_crop"))
    assert run(folder, tmp_path / "w", features=True).num_analysed == 1
    assert (len(decodings), len(cuts), len(openings)) == (1, 5, 5)
    manifests = [read_manifest(name) for name in (*SHIPPED, featureless.name)]
    everyone = {manifest.model_id: 5 for manifest in manifests}
    assert len(everyone) >= 2 and rows_by_model(tmp_path / "w", "face_emotions") == everyone
    having = {manifest.model_id for manifest in manifests if manifest.num_features}
    assert rows_by_model(tmp_path / "w", "face_features") == dict.fromkeys(having, 5)
    for view in ("video_emotions", "person_emotions", "emotion_timeline", "models"):
        assert rows_by_model(tmp_path / "w", view) == dict.fromkeys(everyone, 1), view
    faces = ask(tmp_path / "w", "SELECT DISTINCT num_frames, num_faces, num_people FROM video_emotions").to_pylist()
    assert faces == [{"num_frames": 5, "num_faces": 5, "num_people": 1}]


@pytest.mark.slow
def test_a_new_model_adds_its_rows_to_videos_that_are_analysed_already(
    folder: Path, tmp_path: Path, featureless: Manifest
) -> None:
    first = read_manifest(SHIPPED[0])
    assert run(folder, tmp_path / "w", models=(first.name, first.name)).num_analysed == 1
    assert rows_by_model(tmp_path / "w", "face_emotions") == {first.model_id: 5}
    both = (first.name, featureless.name)
    assert run(folder, tmp_path / "w", models=both).num_analysed == 1
    assert rows_by_model(tmp_path / "w", "face_emotions") == {first.model_id: 5, featureless.model_id: 5}
    assert ask(tmp_path / "w", "SELECT count(*) AS n FROM faces").to_pylist() == [{"n": 5}]
    assert run(folder, tmp_path / "w", models=both).num_analysed == 0


def test_features_of_a_model_that_has_none_are_refused(
    folder: Path, tmp_path: Path, featureless: Manifest, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    words = ("--models", featureless.name, "--features")
    assert "no deep features in debug" in refusal(folder, tmp_path / "w", monkeypatch, capfd, *words)
    assert not (tmp_path / "w").exists()


@pytest.mark.slow
def test_features_asked_for_later_are_those_of_the_stored_crops(folder: Path, tmp_path: Path) -> None:
    name = SHIPPED[0]
    run(folder, tmp_path / "w", models=(name,))
    assert rows_by_model(tmp_path / "w", "face_features") == {}
    assert run(folder, tmp_path / "w", models=(name,), features=True).num_analysed == 1
    for features in (True, False):
        assert run(folder, tmp_path / "w", models=(name,), features=features).num_analysed == 0
    rows = ask(
        tmp_path / "w", "SELECT image, features FROM face_features JOIN crops USING (video_id, config_id, face_id)"
    ).to_pylist()
    stored = np.array([row["features"] for row in rows])
    assert stored.shape == (5, 1536) and np.isfinite(stored).all()
    crops = [open_crop(row["image"]) for row in rows]
    exact = EmotionClassifier(name, "torch").classify(crops, PictureConfig().crop_margin).features
    assert exact.std(0).max() > 0.1, "five frames of a moving camera are not one picture"
    # bfloat16 has eight bits; another crop's features are further away by far
    assert (np.linalg.norm(stored - exact, axis=1) / np.linalg.norm(exact, axis=1)).max() < 0.05

    run(folder, tmp_path / "at once", models=(name,), features=True)
    assert_equal(tmp_path / "w", tmp_path / "at once")


def test_a_model_that_takes_no_pictures_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    (tmp_path / "registry").mkdir()
    with other_model(tmp_path / "registry", input=VectorInput(length=64, source="x", num_frames=1)) as manifest:
        line = refusal(folder, tmp_path / "w", monkeypatch, capfd, "--models", manifest.name)
    assert "debug takes deep features of x, which is not registered" in line
    assert not (tmp_path / "w").exists()


def test_weights_that_are_not_the_manifests_end_a_run_before_it_makes_a_warehouse(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    (tmp_path / "registry").mkdir()
    with other_model(tmp_path / "registry", sha256="0" * 64):
        line = refusal(folder, tmp_path / "w", monkeypatch, capfd)
    assert "debug.safetensors has sha256" in line and "its manifest says 0000" in line
    assert not (tmp_path / "w").exists()
