"""`moodreel evaluate`: a registered model on labelled faces, printed and as a page."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from moodreel.flows import progress
from moodreel.flows.voice_training import evaluate_folds
from moodreel.models.registry import read_manifest
from moodreel.tasks.learning.clips import read_labelled_clips
from moodreel.tasks.learning.evaluate import Scores, evaluate_model
from moodreel.tasks.learning.evaluate_voice import evaluate_voice
from moodreel.tasks.learning.evaluation_page import PAGE, refuse_foreign_folder, write_page
from moodreel.tasks.learning.folds import NUM_FOLDS
from moodreel.tasks.learning.labelled import labelled_by_votes, read_labelled_faces


def run_evaluation(
    model: str,
    data: Path,
    split: str | None,
    *,
    as_grey48: bool,
    by_votes: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Measure a model, print its scores, and write the page to `output` if that is given.

    Raises:
        ValueError: no model has that name, the data can't be used, or `output` holds something else.
    """
    if read_manifest(model).task == "voice":
        if output is not None or as_grey48 or by_votes or split:
            raise ValueError(f"{model} hears clips: --split, --as, --by-votes and -o are for models of faces")
        clips = read_labelled_clips(data)
        progress.tell_skipped(clips.skipped, "clips", data)
        progress.tell_missing(clips.labels, data)
        show_scores(evaluate_voice(model, clips).scores, as_json, "clips")
        return
    if output is not None:
        refuse_foreign_folder(output)  # before the minute of work
    faces = read_labelled_faces(data, split)
    if by_votes:
        faces = labelled_by_votes(faces)
    progress.tell_skipped(faces.skipped, "pictures", data)
    progress.tell_missing(faces.labels, data)
    evaluation = evaluate_model(model, faces, as_grey48=as_grey48)
    if output is not None:
        kind = (", as 48 px grey" if as_grey48 else "") + (", by the taggers' votes" if by_votes else "")
        write_page(output, f"{model} on {data.name}{f', {split}' if split else ''}{kind}", faces, evaluation)
        print(f"page: {output / PAGE}", file=sys.stderr)
    show_scores(evaluation.scores, as_json)


def run_folds(recipes: list[str], data: Path, runs: Path, *, as_json: bool) -> None:
    """Cross-validate voice recipes and baselines by speaker and print their scores.

    Raises:
        ValueError: a name is no voice recipe, or the data can't be used.
    """
    found = evaluate_folds(recipes, data, runs)
    if as_json:
        values = {name: [asdict(one) for one in scores] for name, scores in found.items()}
        print(json.dumps({"folds": NUM_FOLDS, "by": "speaker", "recipes": values}, allow_nan=False))
        return
    table = Table("recipe", "corpus", "UAR", "accuracy", "macro F1", "ECE", "clips", "speakers")
    for name, scores in found.items():
        for one in scores:
            figures = [_plain(value, 3) for value in (one.uar, one.accuracy, one.macro_f1, one.ece)]
            table.add_row(name, one.corpus, *figures, str(one.n), str(one.num_speakers))
    console = Console()
    console.print(table)
    for name, scores in found.items():
        for one in scores:
            f1 = ", ".join(f"{label} {_plain(row['f1'], 2)}" for label, row in one.per_class.items() if row["n"])
            console.print(f"{name} on {one.corpus}, F1: {f1}", soft_wrap=True)


def show_scores(scores: Scores, as_json: bool, kind: str = "pictures") -> None:
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
    leak_free = values["leak_free"] or {}
    for name in ("accuracy", "uar", "macro_f1", "auc", "rmse", "ece", "ece_uncalibrated"):
        console.print(f"{name} {_plain(values[name])}, leak-free {_plain(leak_free.get(name))}")
    console.print(f"{scores.n} {kind} in {scores.seconds} s, {scores.n_skipped} skipped")


def _plain(value: float | None, digits: int = 4) -> str:
    return "n/a" if value is None else f"{value:.{digits}f}"
