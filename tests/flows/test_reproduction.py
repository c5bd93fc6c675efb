"""`moodreel reproduce` from the data to the tables, with debug networks."""

import json
import multiprocessing
import os
import signal
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from debug_recipes import debug_recipes, use_debug_recipes
from stripes import stripes

from moodreel.flows.cli import app
from moodreel.flows.reproduction import reproduce_comparison, reproduce_optimizers
from moodreel.schemas.labels import LABELS
from moodreel.tasks.learning.checkpoint import BEST, CHECKPOINT
from moodreel.tasks.learning.recipes import RECIPES
from moodreel.tasks.learning.train import METRICS
from moodreel.tasks.reproduction import optimizers
from moodreel.tasks.reproduction.claims import METHODS, OURS
from moodreel.tasks.reproduction.optimizers import PEAK_RATES
from moodreel.tasks.reproduction.page import CURVES, MARKDOWN, NUMBERS, PAGE

REPORT = {PAGE, NUMBERS, MARKDOWN}
pytestmark = pytest.mark.timeout(900)  # seconds each where nothing else runs


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """98 pictures to learn from and 70 to test on, of all classes: N = 50 can be drawn, larger ones can't."""
    faces = stripes(168)
    path = tmp_path_factory.mktemp("data") / "stripes.parquet"
    splits = ["public_test" if place // 7 % 14 < 5 else "train" for place in range(168)]
    names = [LABELS[label] for label in faces.labels]
    pq.write_table(pa.table({"png": faces.images, "label_name": names, "split": splits}), path)
    return path


@pytest.fixture(autouse=True)
def _debug_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    for name, recipe in debug_recipes().items():
        monkeypatch.setitem(RECIPES, name, recipe)


@pytest.fixture(scope="module")
def reproduced(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole comparison of two epochs, undisturbed."""
    out = tmp_path_factory.mktemp("whole") / "new" / "folder"
    with pytest.MonkeyPatch.context() as patch:
        torch.set_num_threads(1)
        for name, recipe in debug_recipes().items():
            patch.setitem(RECIPES, name, recipe)
        reproduce_comparison(data, out, num_epochs=2, resume=False)
    return out


def numbers(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / NUMBERS).read_text())
    return found


def without_times(found: dict[str, Any]) -> dict[str, Any]:
    for network in found["networks"]:
        del network["seconds_per_epoch"]
    found["tables"] = [table for table in found["tables"] if table["figure"] != "seconds"]
    return found


def test_the_six_tables_are_complete(reproduced: Path) -> None:
    assert {path.name for path in reproduced.iterdir()} == {*METHODS, *REPORT}
    told = numbers(reproduced)
    assert (told["num_learning"], told["num_held_out"], told["num_test"]) == (88, 10, 70)
    assert [table["figure"] for table in told["tables"]] == [
        *("precision", "recall", "psnr", "accuracy", "seconds", "rmse")
    ]
    for table in told["tables"]:
        assert set(table["cells"]) == set(METHODS)
        for name, cells in table["cells"].items():
            for cell in cells:
                is_there = cell["n"] <= 70 and (table["figure"] != "psnr" or name == OURS)
                assert (cell["estimate"] is not None) == is_there
                assert (cell["reason"] is None) == is_there
    seconds = {name: cells[0]["estimate"]["mean"] for name, cells in told["tables"][4]["cells"].items()}
    assert all(0 < value < 10 for value in seconds.values())
    rmse = {cells[0]["estimate"]["mean"] for cells in told["tables"][5]["cells"].values()}
    assert len(rmse) == len(METHODS) and all(20 < value < 50 for value in rmse)
    assert [row["sigma"] for row in told["denoising"]] == [0.08, 0.16, 0.24]
    assert [contest["method"] for contest in told["contests"]] == [name for name in METHODS if name != OURS]


class Page(HTMLParser):
    """What a page shows: pictures, and the number of cells in each row of each table."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.pictures: list[str] = []
        self.rows: list[int] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link")
        if tag == "img":
            self.pictures.append(str(dict(attrs)["src"]))
        if tag == "tr":
            self.rows.append(0)
        if tag in ("td", "th"):
            self.rows[-1] += 1


def test_the_page_holds_its_pictures_and_the_markdown_the_same_tables(reproduced: Path) -> None:
    page = Page((reproduced / PAGE).read_text())
    assert len(page.pictures) == 6
    assert all(picture.startswith("data:image/png;base64,") for picture in page.pictures)
    assert page.rows == [8] * 42 + [7] * 6 + [9] * 7 + [4] * 4
    text = (reproduced / MARKDOWN).read_text()
    assert text.count("### ") == 9
    assert [
        line.count("|") - 1 for line in text.splitlines() if line.startswith("| ") and "---" not in line
    ] == page.rows
    for table in numbers(reproduced)["tables"]:
        reasons = {cell["reason"] for cells in table["cells"].values() for cell in cells} - {None}
        assert reasons and all(reason in text for reason in reasons)


def _reproduce_with_debug_networks(data: Path, out: Path) -> None:
    torch.set_num_threads(1)
    use_debug_recipes()
    reproduce_comparison(data, out, num_epochs=2, resume=False)


@pytest.mark.slow
def test_a_killed_comparison_goes_on_and_ends_at_the_same_figures(data: Path, reproduced: Path, tmp_path: Path) -> None:
    child = multiprocessing.get_context("spawn").Process(target=_reproduce_with_debug_networks, args=(data, tmp_path))
    child.start()
    deadline = time.monotonic() + 250
    while not (tmp_path / "r-cnn" / CHECKPOINT).exists() and child.is_alive() and time.monotonic() < deadline:
        time.sleep(0.001)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert not REPORT & {path.name for path in tmp_path.iterdir()}
    assert not (tmp_path / OURS / CHECKPOINT).exists()
    finished = (tmp_path / "cnn" / BEST).stat()

    with pytest.raises(ValueError, match="--resume"):
        reproduce_comparison(data, tmp_path, num_epochs=2, resume=False)
    reproduce_comparison(data, tmp_path, num_epochs=2, resume=True)
    assert without_times(numbers(tmp_path)) == without_times(numbers(reproduced))
    assert (tmp_path / "cnn" / BEST).stat() == finished  # what was finished is not trained again


def test_other_epochs_are_another_comparison(data: Path, reproduced: Path) -> None:
    before = (reproduced / NUMBERS).read_bytes()
    with pytest.raises(ValueError, match="holds a run of another recipe"):
        reproduce_comparison(data, reproduced, num_epochs=3, resume=True)
    assert (reproduced / NUMBERS).read_bytes() == before


def test_a_file_is_no_folder(data: Path) -> None:
    with pytest.raises(ValueError, match="is a file: name a folder"):
        reproduce_comparison(data, data, num_epochs=1, resume=False)


@pytest.mark.slow
def test_five_optimizers_have_curves_and_a_table(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "race"
    words = ["reproduce", "optimizers", "--data", str(data), "--out", str(out), "--epochs", "2"]
    app(words, standalone_mode=False)
    assert {path.name for path in out.iterdir()} == {*PEAK_RATES, NUMBERS, MARKDOWN, CURVES}
    assert (out / CURVES).read_bytes().startswith(b"\x89PNG")
    races = {race["optimizer"]: race for race in numbers(out)["races"]}
    assert set(races) == set(PEAK_RATES)
    assert all(len(race["history"]) == 2 and race["divergence"] is None for race in races.values())
    assert len({race["history"][-1]["losses"]["class"] for race in races.values()}) == len(races)
    shown = capsys.readouterr().out
    assert all(name in shown for name in PEAK_RATES)

    before = (out / MARKDOWN).read_bytes()
    with pytest.raises(ValueError, match="--resume"):
        app(words, standalone_mode=False)
    app([*words, "--resume"], standalone_mode=False)
    assert (out / MARKDOWN).read_bytes() == before  # all were finished


def test_an_optimizer_that_diverges_is_a_row_too(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizers, "PEAK_RATES", {})
    monkeypatch.setitem(optimizers.PEAK_RATES, "adam", 0.001)
    monkeypatch.setitem(optimizers.PEAK_RATES, "sgd", 1e30)
    reproduce_optimizers(data, tmp_path, num_epochs=1, resume=False)
    races = {race["optimizer"]: race for race in numbers(tmp_path)["races"]}
    assert races["adam"]["divergence"] is None and len(races["adam"]["history"]) == 1
    assert "diverged" in races["sgd"]["divergence"]
    assert "sgd: diverged" in (tmp_path / MARKDOWN).read_text()
    assert not (tmp_path / "sgd" / METRICS).exists()
