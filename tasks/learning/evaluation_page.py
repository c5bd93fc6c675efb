"""An evaluation as a folder that any browser shows offline: index.html, its pictures, and scores.json."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from moodreel.tasks.learning.calibration import apply_temperature
from moodreel.tasks.learning.evaluate import Evaluation, Figures, Scores
from moodreel.tasks.learning.evaluation_charts import draw_confusion, draw_curves, draw_reliability
from moodreel.tasks.learning.labelled import LabelledFaces
from moodreel.tasks.learning.metrics import precision_recall_curves, reliability
from moodreel.tasks.learning.mistakes import draw_mistakes, worst_mistakes

PAGE: Final = "index.html"
SCORES: Final = "scores.json"
CHARTS: Final = {  # file name: what it shows
    "confusion_counts.png": "How many faces of each label (row) were taken for what (column).",
    "confusion_shares.png": "The same as shares of the label's faces; the diagonal is the recall.",
    "precision_recall.png": "What share of the faces that it names are right, as it names more and more of them.",
    "reliability.png": "Each point is the faces whose guess is about as probable; the larger, the more faces.",
}
_WITHOUT: Final = "without_copies_"
WITHOUT_COPIES: Final = {f"{_WITHOUT}{name}": told for name, told in CHARTS.items()}
MISTAKES: Final = "mistakes.png"
_MISTAKES_TOLD = "The wrong guesses that it was surest of, with what probability it gave to label and guess."
PICTURES: Final = (*CHARTS, *WITHOUT_COPIES, MISTAKES)  # all that a page may have
_NUM_MISTAKES = 24
_PIXELS_PER_INCH = 144  # twice that of the page, for sharp screens
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1b2430; max-width: 64rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 } figure { margin: 2.5rem 0 } img { max-width: 100% }
th, td { padding: .25rem .9rem; text-align: right; border-bottom: 1px solid #dde2e8 }
th:first-child { text-align: left } figcaption { color: #5a6572 }
"""


def refuse_foreign_folder(folder: Path) -> None:
    """Check that a page may be written here: a folder that is new, empty, or holds nothing but an older page.

    Raises:
        ValueError: it is a file, or holds something else.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file: name a folder for the page")
    ours = {PAGE, SCORES, *PICTURES}
    strange = sorted(path.name for path in folder.iterdir() if path.name not in ours) if folder.exists() else []
    if strange:
        raise ValueError(f"{folder} holds {strange[0]}, which is no part of a page: name a new or empty folder")


def write_page(folder: Path, title: str, faces: LabelledFaces, evaluation: Evaluation) -> None:
    """Write the page whole or not at all; it takes the place of an older one.

    Args:
        folder: made if need be.
        title: stands above the page.
        faces: what was classified.
        evaluation: its outcome.

    Raises:
        ValueError: the folder holds something that is no page of ours.
    """
    folder = folder.resolve()  # "." has no name that could be replaced
    refuse_foreign_folder(folder)
    new = folder.with_name(f".{folder.name}.new-{os.getpid()}")
    old = folder.with_name(f".{folder.name}.old-{os.getpid()}")
    new.mkdir(parents=True)
    try:
        shown = _draw_all(new, faces, evaluation)
        (new / SCORES).write_text(json.dumps(asdict(evaluation.scores), indent=1) + "\n", encoding="utf-8")
        (new / PAGE).write_text(_page(title, evaluation.scores, shown), encoding="utf-8")
        if folder.exists():
            os.replace(folder, old)
        os.replace(new, folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        if old.exists() and not folder.exists():
            os.replace(old, folder)
        shutil.rmtree(new, ignore_errors=True)


def _draw_all(folder: Path, faces: LabelledFaces, evaluation: Evaluation) -> str:
    """Write the pictures and return what shows them: the charts of all faces, those without copies, the mistakes."""
    scores, probabilities = evaluation.scores, evaluation.probabilities
    _draw_charts(folder, "", scores, probabilities, faces.labels, scores.temperature)
    shown = _figures_of(CHARTS)
    if scores.leak_free and faces.is_copy is not None and faces.is_copy.any():  # else both would be the same
        own = ~faces.is_copy
        _draw_charts(folder, _WITHOUT, scores.leak_free, probabilities[own], faces.labels[own], scores.temperature)
        shown += f"<h2>The {scores.n_leak_free:,} without a copy in training</h2>\n{_figures_of(WITHOUT_COPIES)}"
    mistakes = worst_mistakes(probabilities, faces.labels, _NUM_MISTAKES)
    if mistakes:
        draw_mistakes(faces, mistakes).save(folder / MISTAKES)
        shown += f"<h2>The worst mistakes of all</h2>\n{_figures_of({MISTAKES: _MISTAKES_TOLD})}"
    return shown


def _draw_charts(
    folder: Path,
    prefix: str,
    measured: Figures,
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int64],
    temperature: float,
) -> None:
    before = reliability(apply_temperature(probabilities, 1 / temperature), labels)
    after = reliability(probabilities, labels) if temperature != 1.0 else None
    charts = {
        "confusion_counts.png": draw_confusion(measured.confusion, "Faces by label and guess", ",d"),
        "confusion_shares.png": draw_confusion(measured.confusion_normalised, "Shares of each label", ".0%"),
        "precision_recall.png": draw_curves(precision_recall_curves(probabilities, labels)),
        "reliability.png": draw_reliability(before, after),
    }
    for name, chart in charts.items():
        chart.save(folder / f"{prefix}{name}", format="png", ppi=_PIXELS_PER_INCH)


def _figures_of(pictures: Mapping[str, str]) -> str:
    return "".join(
        f'<figure><img src="{name}" srcset="{name} 2x" alt="{escape(told)}">'
        f"<figcaption>{escape(told)}</figcaption></figure>\n"
        for name, told in pictures.items()
    )


def _page(title: str, scores: Scores, shown: str) -> str:
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style></head><body>
<h1>{escape(title)}</h1>
<p>{scores.n:,} faces, {scores.seconds_per_image * 1000:.1f} ms each; {scores.n_skipped:,} more were skipped, since
their label is none of the seven. The labels are apparent expressions: what a face shows is not what a person feels.</p>
{_both_ways(scores)}
{_classes(scores)}
<h2>All {scores.n:,} faces</h2>
{shown}</body></html>
"""


def _both_ways(scores: Scores) -> str:
    if scores.n_leak_free is None:
        told = "without a copy in training: the data don't say"
    else:
        told = f"the {scores.n_leak_free:,} without a copy in training"
    without = _figures(scores.leak_free, scores.temperature) if scores.leak_free else {}
    rows = {text: (value, without.get(text, "n/a")) for text, value in _figures(scores, scores.temperature).items()}
    return _table(("", f"all {scores.n:,}", told), rows)


def _figures(measured: Figures, temperature: float) -> dict[str, str]:
    return {
        "accuracy": _share(measured.accuracy),
        "mean recall of the classes (UAR)": _share(measured.uar),
        "mean F1 of the classes": _share(measured.macro_f1),
        "area under the ROC curve, mean of the classes": _plain(measured.auc),
        "root mean square error of the probabilities": _plain(measured.rmse),
        "expected calibration error, 15 bins": _share(measured.ece),
        f"the same without the temperature {temperature:.3f}": _share(measured.ece_uncalibrated),
    }


def _classes(scores: Scores) -> str:
    leak_free = scores.leak_free.per_class if scores.leak_free else {}
    rows = {
        label: (
            *(_plain(row[name]) for name in ("precision", "recall", "f1")),
            _plain(leak_free[label]["f1"] if leak_free else None),
            f"{row['n']:,}",
        )
        for label, row in scores.per_class.items()
    }
    return _table(("label", "precision", "recall", "F1", "F1 without copies", "faces"), rows)


def _table(head: tuple[str, ...], rows: Mapping[str, tuple[str, ...]]) -> str:
    def line(cells: tuple[str, ...], tag: str) -> str:
        return f"<th>{escape(cells[0])}</th>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells[1:])

    body = "\n".join(f"<tr>{line((name, *cells), 'td')}</tr>" for name, cells in rows.items())
    return f"<table><thead><tr>{line(head, 'th')}</tr></thead><tbody>\n{body}\n</tbody></table>"


def _share(value: float) -> str:
    return f"{value:.1%}"


def _plain(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"
