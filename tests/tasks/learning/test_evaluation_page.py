import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from pictures import guesses, labelled
from PIL import Image

from moodreel.tasks.learning.calibration import apply_temperature
from moodreel.tasks.learning.evaluate import Evaluation, score
from moodreel.tasks.learning.evaluation_page import (
    CHARTS,
    MISTAKES,
    PAGE,
    PICTURES,
    SCORES,
    WITHOUT_COPIES,
    write_page,
)
from moodreel.tasks.learning.labelled import LabelledFaces
from moodreel.tasks.learning.mistakes import worst_mistakes


def evaluation(faces: LabelledFaces, seen: list[int], temperature: float = 1.0) -> Evaluation:
    probabilities = apply_temperature(guesses(seen), temperature)
    return Evaluation(score("m", faces, probabilities, 1.0, temperature=temperature), probabilities)


class References(HTMLParser):
    """What a page loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag != "script"
        self.found += [str(value) for name, value in attrs if name in ("src", "href")]


def test_a_page_is_whole_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    faces = labelled([0, 1, 2, 3, 4, 5, 6, 6], is_copy=[False] * 6 + [True, False])
    write_page(tmp_path / "page", "a < b", faces, evaluation(faces, [0, 1, 2, 3, 4, 5, 6, 0], 1.5))
    text = (tmp_path / "page" / PAGE).read_text()
    assert "a &lt; b" in text and "without the temperature 1.500" in text
    assert References(text).found == list(PICTURES)
    assert {path.name for path in (tmp_path / "page").iterdir()} == {PAGE, SCORES, *PICTURES}
    for name in PICTURES:
        with Image.open(tmp_path / "page" / name) as picture:
            assert picture.format == "PNG" and min(picture.size) > 200
    assert json.loads((tmp_path / "page" / SCORES).read_text())["accuracy"] == 7 / 8
    assert [path.name for path in tmp_path.iterdir()] == ["page"]


def test_a_page_of_one_class_without_mistakes_can_be_written(tmp_path: Path) -> None:
    faces = labelled([3, 3])
    write_page(tmp_path / "page", "m", faces, evaluation(faces, [3, 3]))
    text = (tmp_path / "page" / PAGE).read_text()
    assert References(text).found == list(CHARTS)
    assert "nan" not in text.lower() and "n/a" in text


def test_the_charts_without_copies_are_of_fewer_faces_and_only_there_if_any_is_a_copy(tmp_path: Path) -> None:
    labels, seen = [0, 1, 2, 3], [0, 1, 2, 4]
    for is_copy, expected in [
        ([False, False, False, True], PICTURES),
        ([False] * 4, (*CHARTS, MISTAKES)),
        ([True] * 4, (*CHARTS, MISTAKES)),
    ]:
        faces = labelled(labels, is_copy=is_copy)
        write_page(tmp_path / "page", "m", faces, evaluation(faces, seen))
        assert References((tmp_path / "page" / PAGE).read_text()).found == list(expected)
        if expected is PICTURES:
            for name, without in zip(CHARTS, WITHOUT_COPIES, strict=True):
                assert (tmp_path / "page" / name).read_bytes() != (tmp_path / "page" / without).read_bytes()


def test_a_page_replaces_an_older_one_and_nothing_else(tmp_path: Path) -> None:
    faces = labelled([3, 4])
    (tmp_path / "empty").mkdir()
    write_page(tmp_path / "empty", "first", faces, evaluation(faces, [3, 3]))
    write_page(tmp_path / "empty", "second", faces, evaluation(faces, [3, 4]))
    assert "second" in (tmp_path / "empty" / PAGE).read_text()
    assert not (tmp_path / "empty" / MISTAKES).exists()

    (tmp_path / "empty" / "thesis.txt").write_text("three years")
    with pytest.raises(ValueError, match=r"holds thesis\.txt, which is no part of a page"):
        write_page(tmp_path / "empty", "third", faces, evaluation(faces, [3, 4]))
    with pytest.raises(ValueError, match="is a file"):
        write_page(tmp_path / "empty" / "thesis.txt", "third", faces, evaluation(faces, [3, 4]))
    assert "second" in (tmp_path / "empty" / PAGE).read_text()
    assert (tmp_path / "empty" / "thesis.txt").read_text() == "three years"
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_a_page_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    faces = labelled([3, 4])
    faces.images[1] = b"no picture"
    with pytest.raises(OSError, match="cannot identify"):
        write_page(tmp_path / "page", "m", faces, evaluation(faces, [3, 3]))
    assert list(tmp_path.iterdir()) == []


def test_the_surest_mistakes_come_first() -> None:
    probabilities = np.concatenate([guesses([0], 0.6), guesses([1], 0.9), guesses([2], 0.8), guesses([3], 0.7)])
    labels = np.array([0, 0, 0, 0])
    worst = worst_mistakes(probabilities, labels, 2)
    assert [(item.index, item.label, item.guess) for item in worst] == [(1, "angry", "disgust"), (2, "angry", "fear")]
    assert worst[0].guess_probability == pytest.approx(0.9)
    assert worst[0].label_probability == pytest.approx(0.1 / 6)
