import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pictures import write_faces

from moodreel.flows.cli import EXIT_USAGE, _guarded, app
from moodreel.models import registry
from moodreel.models.registry import DEFAULTS, REGISTERED, read_manifest
from moodreel.schemas.labels import LABELS
from moodreel.schemas.manifest import Manifest
from moodreel.tasks.learning.evaluation_page import PAGE, SCORES
from moodreel.tasks.learning.labelled import VOTE_COLUMNS

NAME = REGISTERED[0]
Moodreel = Callable[..., tuple[int, str, str]]


@pytest.fixture
def moodreel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Moodreel:
    """The command line, run in this process from an empty folder: exit code, output, errors."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["moodreel", *words])
        code = _guarded(app)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def one_line(outcome: tuple[int, str, str]) -> str:
    """What a user's mistake is answered with: exit 2, one line, nothing written."""
    code, out, err = outcome
    assert (code, out, len(err.strip().splitlines())) == (EXIT_USAGE, "", 1), err
    assert list(Path.cwd().iterdir()) == []
    return err


def test_strange_labels_and_missing_classes_are_told(moodreel: Moodreel, tmp_path: Path) -> None:
    names = [label for label in LABELS if label != "disgust"] + ["Disgust", "contempt", "contempt", *"abcd"]
    data = write_faces(tmp_path / "a.parquet", names)
    code, out, err = moodreel("evaluate", "small-vgg", "--data", str(data), "--json")
    assert (code, json.loads(out)["n"]) == (0, 6)
    assert f"{data}: 7 pictures left out, their label is none of the seven: contempt (2), Disgust (1), " in err
    assert ", ...\n" in err and f"{data} has none of disgust: means over the classes are over the others" in err


def test_json_has_every_figure_and_the_page_the_same(moodreel: Moodreel, tmp_path: Path) -> None:
    data = write_faces(tmp_path / "a.parquet", (*LABELS, "contempt"))
    code, out, _ = moodreel("evaluate", NAME, "--data", str(data), "--json", "-o", "page")
    said = json.loads(out)
    assert code == 0
    assert set(said) == {
        *("model", "n", "n_skipped", "n_leak_free", "accuracy", "accuracy_leak_free", "leak_free", "uar", "macro_f1"),
        *("auc", "rmse", "ece", "ece_uncalibrated", "temperature", "per_class"),
        *("confusion", "confusion_normalised", "seconds", "seconds_per_image"),
    }
    assert (said["model"], said["n"], said["n_skipped"], said["n_leak_free"]) == (NAME, 7, 1, None)
    assert said["temperature"] == read_manifest(NAME).temperature
    assert np.sum(said["confusion"]) == 7 and said["seconds_per_image"] > 0
    assert json.loads(Path("page", SCORES).read_text()) == said
    page = Path("page", PAGE).read_text()
    assert f"{NAME} on a.parquet" in page and "without a copy in training: the data don" in page


def test_what_is_printed_has_a_row_for_every_class(moodreel: Moodreel, tmp_path: Path) -> None:
    data = write_faces(tmp_path / "a.parquet", ("sad", "happy"), ("x", "y"))
    code, out, _ = moodreel("evaluate", NAME, "--data", str(data), "--split", "x")
    assert code == 0 and all(label in out for label in LABELS)
    assert "auc n/a" in out and "1 pictures" in out
    assert list(Path.cwd().iterdir()) == []


def test_taggers_votes_can_decide_what_is_right(moodreel: Moodreel, tmp_path: Path) -> None:
    data = write_faces(tmp_path / "a.parquet", ("sad", "happy"))
    columns = {name: [9.0 if name == "fp_neutral" else 1.0, 1.0] for name in VOTE_COLUMNS}
    pq.write_table(pa.table({**pq.read_table(data).to_pydict(), **columns}), data)
    code, out, _ = moodreel("evaluate", NAME, "--data", str(data), "--by-votes", "--json", "-o", "page")
    said = json.loads(out)
    assert (code, said["n"], said["n_skipped"], said["per_class"]["neutral"]["n"]) == (0, 1, 1, 1)
    assert "by the taggers" in Path("page", PAGE).read_text()
    voice = moodreel("evaluate", DEFAULTS["voice"][0], "--data", str(data), "--by-votes")
    assert "--by-votes and -o are for models of faces" in voice[2]


def test_labels_that_are_all_unknown_are_an_error(moodreel: Moodreel, tmp_path: Path) -> None:
    data = write_faces(tmp_path / "a.parquet", ("contempt",))
    assert "holds no picture labelled" in one_line(moodreel("evaluate", NAME, "--data", str(data), "-o", "page"))


def test_a_corrupt_picture_is_named_before_anything_is_written(moodreel: Moodreel, tmp_path: Path) -> None:
    data = write_faces(tmp_path / "a.parquet", LABELS * 2, ("train", "public_test") * 7)
    table = pq.read_table(data)
    pictures = table["png"].to_pylist()
    pq.write_table(table.set_column(0, "png", [[*pictures[:4], pictures[4][:200], *pictures[5:]]]), data)
    for words in (("evaluate", NAME, "-o", "page"), ("train", "debug", "--out", "run")):
        error = one_line(moodreel(*words, "--data", str(data)))
        assert "a.parquet, row 4 (the first is 0): the picture can't be decoded" in error


def test_a_folder_that_is_no_page_is_refused_before_the_work(moodreel: Moodreel, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").touch()
    outcome = moodreel("evaluate", NAME, "--data", "no/file", "-o", str(tmp_path / "photos"))
    assert "me.jpg, which is no part of a page" in one_line(outcome)


def test_weights_with_another_checksum_are_refused(
    moodreel: Moodreel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = registry.WEIGHTS / read_manifest(NAME).weights
    (tmp_path / weights.name).write_bytes(weights.read_bytes()[:-1] + b"\0")
    monkeypatch.setattr(registry, "WEIGHTS", tmp_path)
    data = write_faces(tmp_path / "a.parquet")
    error = one_line(moodreel("evaluate", NAME, "--data", str(data), "-o", "page"))
    assert f"{weights.name} has sha256" in error and read_manifest(NAME).sha256 in error


class Trap:
    """Makes a file when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, ("sprung",)


def test_a_pickle_given_as_weights_is_refused_and_not_opened(moodreel: Moodreel, tmp_path: Path) -> None:
    torch.save({"weight": Trap()}, tmp_path / "w.pt")
    data = write_faces(tmp_path / "a.parquet", LABELS * 2, ("train", "public_test") * 7)
    words = ("train", "debug", "--data", str(data), "--out", "run", "--init", str(tmp_path / "w.pt"))
    assert "pickled weights (.pt, .pth) are not read" in one_line(moodreel(*words))


def test_training_data_without_one_of_the_seven_are_refused(moodreel: Moodreel, tmp_path: Path) -> None:
    names = [label for label in LABELS if label not in ("disgust", "fear")]
    data = write_faces(tmp_path / "a.parquet", names * 2, ("train",) * 5 + ("public_test",) * 5)
    error = one_line(moodreel("train", "debug", "--data", str(data), "--out", "run"))
    assert "no training picture of disgust, fear" in error
    assert "disgust, fear" in one_line(moodreel("train", "debug", "--find-rate", "--data", str(data), "--out", "run"))


def test_a_manifest_with_a_missing_label_is_told_in_plain_words(capsys: pytest.CaptureFixture[str]) -> None:
    values = read_manifest(NAME).model_dump() | {"labels": LABELS[:-1]}
    assert _guarded(lambda standalone_mode: Manifest.model_validate(values)) == EXIT_USAGE
    assert capsys.readouterr().err.startswith(f"moodreel: the manifest of {NAME} has the labels angry, ")


def test_training_ends_with_a_temperature_and_its_effect(moodreel: Moodreel, tmp_path: Path) -> None:
    data = write_faces(tmp_path / "a.parquet", LABELS * 8, ("train",) * 28 + ("public_test",) * 28)
    assert moodreel("train", "debug", "--data", str(data), "--out", "run")[0] == 0
    manifest = (tmp_path / "here" / "run" / "debug.toml").read_text()
    assert "\ntemperature = " in manifest
    assert "public_test_ece = " in manifest and "public_test_ece_uncalibrated = " in manifest
