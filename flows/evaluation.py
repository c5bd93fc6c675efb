"""`moodreel evaluate`: a registered model on labelled faces, printed and as a page."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from moodreel.tasks.learning.evaluate import Scores, evaluate_model
from moodreel.tasks.learning.evaluation_page import PAGE, refuse_foreign_folder, write_page
from moodreel.tasks.learning.labelled import read_labelled_faces


def run_evaluation(
    model: str, data: Path, split: str | None, *, as_grey48: bool, output: Path | None, as_json: bool
) -> None:
    """Measure a model, print its scores, and write the page to `output` if that is given.

    Raises:
        ValueError: no model has that name, the data can't be used, or `output` holds something else.
    """
    if output is not None:
        refuse_foreign_folder(output)  # before the minute of work
    faces = read_labelled_faces(data, split)
    evaluation = evaluate_model(model, faces, as_grey48=as_grey48)
    if output is not None:
        kind = ", as 48 px grey" if as_grey48 else ""
        write_page(output, f"{model} on {data.name}{f', {split}' if split else ''}{kind}", faces, evaluation)
        print(f"page: {output / PAGE}", file=sys.stderr)
    show_scores(evaluation.scores, as_json)


def show_scores(scores: Scores, as_json: bool) -> None:
    """Print what was measured."""
    values = asdict(scores)
    if as_json:
        print(json.dumps(values, allow_nan=False))
        return
    table = Table("class", "precision", "recall", "F1", "n")
    for label, row in scores.per_class.items():
        table.add_row(label, *[_plain(row[name], 3) for name in ("precision", "recall", "f1")], str(row["n"]))
    console = Console()
    console.print(table)
    for name in ("accuracy", "uar", "macro_f1"):
        console.print(f"{name} {_plain(values[name])}, leak-free {_plain(values[f'{name}_leak_free'])}")
    console.print(f"auc {_plain(scores.auc)}, rmse {_plain(scores.rmse)}")
    console.print(f"ece {_plain(scores.ece)}, without the temperature {_plain(scores.ece_uncalibrated)}")
    console.print(f"{scores.n} pictures in {scores.seconds} s, {scores.n_skipped} skipped")


def _plain(value: float | None, digits: int = 4) -> str:
    return "n/a" if value is None else f"{value:.{digits}f}"
