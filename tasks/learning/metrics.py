"""Figures of merit from probabilities (n, 7) float32 and labels (n,) int64, n >= 1.

A class that does not occur has no figures (None) and counts in no mean; one that is never guessed has the precision 0.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional.classification import (
    binary_auroc,
    binary_average_precision,
    binary_precision_recall_curve,
)

from moodreel.schemas.labels import LABELS, NUM_LABELS

NUM_BINS = 15  # of equal width, by the probability of the guess; Guo et al. 2017 have as many
Probabilities = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The faces whose guess has a probability of `low` to `high`: their mean probability, and how many are right."""

    low: float
    high: float
    confidence: float
    accuracy: float
    n: int


@dataclass(frozen=True, slots=True)
class Curve:
    """Precision over rising recall of one class against the rest; `share` is the precision of guessing it always."""

    label: str
    average_precision: float
    share: float
    recall: list[float]
    precision: list[float]


def confusion_counts(probabilities: Probabilities, labels: Labels) -> NDArray[np.int64]:
    """Return (7, 7) counts: row = label, column = guess."""
    counts = np.zeros((NUM_LABELS, NUM_LABELS), np.int64)
    np.add.at(counts, (labels, probabilities.argmax(1)), 1)
    return counts


def confusion_shares(counts: NDArray[np.int64]) -> list[list[float | None]]:
    """Return each count as a share of its row; None in the row of a class that does not occur."""
    return [[float(cell / row.sum()) if row.any() else None for cell in row] for row in counts]


def class_figures(counts: NDArray[np.int64]) -> dict[str, dict[str, float | int | None]]:
    """Return precision, recall, F1 (None for a class that does not occur) and the number n of faces for every class."""
    figures: dict[str, dict[str, float | int | None]] = {}
    for i, label in enumerate(LABELS):
        hits, n, num_guesses = counts[i, i], counts[i].sum(), counts[:, i].sum()
        figures[label] = {
            "precision": float(hits / max(1, num_guesses)) if n else None,
            "recall": float(hits / n) if n else None,
            "f1": float(2 * hits / (n + num_guesses)) if n else None,
            "n": int(n),
        }
    return figures


def accuracy(counts: NDArray[np.int64]) -> float:
    """Return the share of faces whose guess is their label."""
    return float(counts.trace() / counts.sum())


def mean_recall(counts: NDArray[np.int64]) -> float:
    """Return the unweighted average recall, UAR, of the classes that occur."""
    present = counts.sum(1) > 0
    return float((counts.diagonal()[present] / counts.sum(1)[present]).mean())


def macro_f1(counts: NDArray[np.int64]) -> float:
    """Return the unweighted mean of F1 over the classes that occur."""
    present = counts.sum(1) > 0
    return float((2 * counts.diagonal()[present] / (counts.sum(0) + counts.sum(1))[present]).mean())


def macro_auc(probabilities: Probabilities, labels: Labels) -> float | None:
    """Return the mean area under the ROC curves of each class against the rest; None where all faces are of one class.

    The area is the probability that a face of the class is given more of it than a face of another class.
    """
    present = np.unique(labels)
    if len(present) < 2:
        return None
    areas = [binary_auroc(torch.from_numpy(probabilities[:, i]), torch.from_numpy(labels == i)) for i in present]
    return float(torch.stack(areas).mean())


def root_mean_square_error(probabilities: Probabilities, labels: Labels) -> float:
    """Return the root of the mean squared difference between one-hot labels and probabilities, over all n x 7 cells."""
    differences = np.eye(NUM_LABELS)[labels] - probabilities
    return float(np.sqrt((differences**2).mean()))


def calibration_error(probabilities: Probabilities, labels: Labels) -> float:
    """Return the expected calibration error: how far, on average, a guess's probability is from how often it is right.

    After Guo et al. 2017 (arXiv 1706.04599).
    """
    return sum(item.n * abs(item.accuracy - item.confidence) for item in reliability(probabilities, labels)) / len(
        labels
    )


def reliability(probabilities: Probabilities, labels: Labels) -> list[ReliabilityBin]:
    """Return the bins of a reliability diagram that hold faces, by rising probability."""
    confidence, is_right = probabilities.max(1), probabilities.argmax(1) == labels
    edges = np.linspace(0, 1, NUM_BINS + 1)
    number = np.clip(np.digitize(confidence, edges, right=True) - 1, 0, NUM_BINS - 1)
    return [
        ReliabilityBin(
            float(edges[i]),
            float(edges[i + 1]),
            float(confidence[number == i].mean()),
            float(is_right[number == i].mean()),
            int((number == i).sum()),
        )
        for i in np.unique(number)
    ]


def precision_recall_curves(probabilities: Probabilities, labels: Labels) -> list[Curve]:
    """Return the curve of every class that occurs, at 201 even steps of recall."""
    steps = np.linspace(0, 1, 201)
    curves = []
    for i in np.unique(labels):
        scores, is_class = torch.from_numpy(probabilities[:, i]), torch.from_numpy(labels == i).long()
        precision, recall, _ = binary_precision_recall_curve(scores, is_class)
        average = float(binary_average_precision(scores, is_class))
        heights = np.interp(steps, recall.numpy()[::-1], precision.numpy()[::-1])
        curves.append(
            Curve(LABELS[i], average, float((labels == i).mean()), steps.round(3).tolist(), heights.round(4).tolist())
        )
    return curves
