"""The paper's tables, filled with what was measured, beside what it claims."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from moodreel.tasks.learning import metrics
from moodreel.tasks.learning.labelled import LabelledFaces
from moodreel.tasks.reproduction.claims import METHODS, OURS, PLANS, Figure, TablePlan
from moodreel.tasks.reproduction.measures import Denoised, Measured
from moodreel.tasks.reproduction.statistics import (
    Estimate,
    compare_paired,
    correct_for_many,
    draw_items,
    estimate_mean,
)

NO_PICTURE = "n/a: this network gives probabilities and no picture, so there is nothing to compare with a clean one."


@dataclass(frozen=True, slots=True)
class Cell:
    """A method's figure on N items: an estimate, or the sentence that says why there is none; and the claim."""

    estimate: Estimate | None
    reason: str | None
    claim: float | None

    def __post_init__(self) -> None:
        if (self.estimate is None) == (self.reason is None):
            raise ValueError("a cell holds either an estimate or the reason for having none")


@dataclass(frozen=True, slots=True)
class PaperTable:
    """A plan with its cells: by method, one for each size of the plan."""

    plan: TablePlan
    cells: dict[str, list[Cell]]

    def as_dict(self) -> dict[str, object]:
        """Return what JSON takes: for every method and N the mean, its margin, the claim, or the reason for none."""
        rows = {name: zip(self.plan.sizes, cells, strict=True) for name, cells in self.cells.items()}
        return {
            "figure": self.plan.figure,
            "title": self.plan.title,
            "cells": {name: [{"n": size, **asdict(cell)} for size, cell in row] for name, row in rows.items()},
        }


@dataclass(frozen=True, slots=True)
class Contest:
    """GAN-SGDMA against another method on all test faces; `p` is McNemar's, `p_corrected` Holm's for all contests."""

    method: str
    accuracy: float
    accuracy_ours: float
    only_ours: int
    only_theirs: int
    p: float
    p_corrected: float


@dataclass(frozen=True, slots=True)
class Network:
    """How a method was trained and how right it is on all test faces, and on those without a copy in training."""

    method: str
    num_parameters: int
    peak_rate: float
    num_epochs: int
    best_epoch: int
    seconds_per_epoch: float
    held_out_accuracy: float
    accuracy: float
    accuracy_leak_free: float | None


def build_tables(measured: Mapping[str, Measured], faces: LabelledFaces) -> list[PaperTable]:
    """Fill all six tables.

    Args:
        measured: by method, all of METHODS.
        faces: the n test faces that it was measured on.
    """
    return [
        PaperTable(
            plan, {name: [_cell(plan, name, size, measured[name], faces) for size in plan.sizes] for name in METHODS}
        )
        for plan in PLANS
    ]


def build_contests(measured: Mapping[str, Measured], faces: LabelledFaces) -> list[Contest]:
    """Test GAN-SGDMA against each other method on all n test faces."""
    is_right = {name: measured[name].probabilities.argmax(1) == faces.labels for name in METHODS}
    others = [name for name in METHODS if name != OURS]
    tests = [compare_paired(is_right[OURS], is_right[name]) for name in others]
    corrected = correct_for_many([test.p for test in tests])
    ours = float(is_right[OURS].mean())
    return [
        Contest(name, float(is_right[name].mean()), ours, test.only_first, test.only_second, test.p, p)
        for name, test, p in zip(others, tests, corrected, strict=True)
    ]


def describe_networks(measured: Mapping[str, Measured], faces: LabelledFaces) -> list[Network]:
    """Say of every method how it was trained and what came of it on all n test faces."""
    return [_network(name, measured[name], faces) for name in METHODS]


def summarise_denoising(measured: Mapping[str, Measured]) -> list[dict[str, float]]:
    """Return a row for each level of noise: mean PSNR of the noisy and of the denoised test faces in dB."""
    return [
        {
            "sigma": level.sigma,
            "noisy_db": float(level.noisy_db[np.isfinite(level.noisy_db)].mean()),
            "denoised_db": float(level.denoised_db[np.isfinite(level.denoised_db)].mean()),
        }
        for level in measured[OURS].denoised
    ]


def _network(name: str, measured: Measured, faces: LabelledFaces) -> Network:
    is_right = measured.probabilities.argmax(1) == faces.labels
    own = is_right[~faces.is_copy] if faces.is_copy is not None else is_right[:0]
    best = max(measured.history, key=lambda epoch: epoch.accuracy)  # the first of equals, as the training keeps it
    schedule = measured.config.schedule
    assert schedule.kind == "one-cycle"
    return Network(
        method=name,
        num_parameters=measured.num_parameters,
        peak_rate=schedule.peak_rate,
        num_epochs=len(measured.history),
        best_epoch=best.epoch + 1,
        seconds_per_epoch=float(np.mean([epoch.seconds for epoch in measured.history])),
        held_out_accuracy=best.accuracy,
        accuracy=float(is_right.mean()),
        accuracy_leak_free=float(own.mean()) if len(own) else None,
    )


def _cell(plan: TablePlan, name: str, size: int, measured: Measured, faces: LabelledFaces) -> Cell:
    claim = plan.claims.get((name, size))
    decibels = _mean_decibels(measured.denoised) if plan.figure == "psnr" else None
    if plan.figure == "psnr" and decibels is None:
        return Cell(None, NO_PICTURE, claim)
    n = len(faces.labels) if decibels is None else len(decibels)
    if size > n:
        return Cell(None, f"n/a: this figure exists for {n} faces of the test split, so {size} can't be drawn.", claim)
    if plan.figure == "seconds":
        return Cell(estimate_mean(measured.seconds[size]), None, claim)
    draws = draw_items(n, size)
    if decibels is not None:
        return Cell(estimate_mean([float(decibels[chosen].mean()) for chosen in draws]), None, claim)
    rate = _RATINGS[plan.figure]
    values = [100 * rate(measured.probabilities[chosen], faces.labels[chosen]) for chosen in draws]
    return Cell(estimate_mean(values), None, claim)


def _mean_decibels(levels: Sequence[Denoised]) -> NDArray[np.float64] | None:
    """Return the mean over the levels of noise of each face that is nowhere met exactly; None without a denoiser."""
    if not levels:
        return None
    decibels = np.stack([level.denoised_db for level in levels])
    means: NDArray[np.float64] = decibels[:, np.isfinite(decibels).all(0)].mean(0)
    return means


def _precision(probabilities: metrics.Probabilities, labels: metrics.Labels) -> float:
    figures = metrics.class_figures(metrics.confusion_counts(probabilities, labels)).values()
    return float(np.mean([row["precision"] for row in figures if row["precision"] is not None]))


def _recall(probabilities: metrics.Probabilities, labels: metrics.Labels) -> float:
    return metrics.mean_recall(metrics.confusion_counts(probabilities, labels))


def _accuracy(probabilities: metrics.Probabilities, labels: metrics.Labels) -> float:
    return metrics.accuracy(metrics.confusion_counts(probabilities, labels))


_RATINGS: dict[Figure, Callable[[metrics.Probabilities, metrics.Labels], float]] = {
    "precision": _precision,
    "recall": _recall,
    "accuracy": _accuracy,
    "rmse": metrics.root_mean_square_error,
}
