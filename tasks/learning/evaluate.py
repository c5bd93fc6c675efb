"""Measure a registered face model on labelled faces, through the same code that analyses videos."""

import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torchmetrics.functional.classification import multiclass_calibration_error

from moodreel.models.inference import Backend
from moodreel.schemas.labels import LABELS, NUM_LABELS
from moodreel.tasks.crops import open_crop
from moodreel.tasks.emotions import EmotionClassifier
from moodreel.tasks.learning.labelled import LabelledFaces

_CHUNK = 512


@dataclass(frozen=True, slots=True)
class Scores:
    """What `moodreel evaluate --json` prints; `uar` is the mean recall of the classes present, `ece` has 15 bins."""

    model: str
    n: int
    n_skipped: int
    accuracy: float
    accuracy_leak_free: float
    uar: float
    macro_f1: float
    ece: float
    per_class: dict[str, dict[str, float]]
    confusion: list[list[int]]
    seconds: float


def classify_faces(
    name: str, faces: LabelledFaces, *, as_grey48: bool = False, backend: Backend = "auto"
) -> NDArray[np.float32]:
    """Return (n, 7) probabilities of labelled pictures, which are taken as cut to the face already."""
    classifier = EmotionClassifier(name, backend)
    margin = classifier.manifest.input.margin
    chunks = []
    for first in range(0, len(faces.images), _CHUNK):
        crops = [_opened(image, as_grey48) for image in faces.images[first : first + _CHUNK]]
        chunks.append(classifier.probabilities(crops, margin))
    return np.concatenate(chunks)


def evaluate_model(name: str, faces: LabelledFaces, *, as_grey48: bool = False, backend: Backend = "auto") -> Scores:
    """Classify labelled faces and score the outcome.

    Args:
        name: a registered face model.
        faces: pictures cut to the face, with labels.
        as_grey48: reduce the pictures to 48 px grey first.
        backend: what runs the network.

    Raises:
        ValueError: no model has that name.
    """
    started = time.monotonic()
    probabilities = classify_faces(name, faces, as_grey48=as_grey48, backend=backend)
    return score(name, faces, probabilities, time.monotonic() - started)


def score(name: str, faces: LabelledFaces, probabilities: NDArray[np.float32], seconds: float) -> Scores:
    """Score (n, 7) probabilities against the labels; classes that are absent count in no mean."""
    guess, truth = probabilities.argmax(1), faces.labels
    confusion = np.zeros((NUM_LABELS, NUM_LABELS), np.int64)
    np.add.at(confusion, (truth, guess), 1)
    hits, n_true, n_guess = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    precision, recall = hits / np.maximum(n_guess, 1), hits / np.maximum(n_true, 1)
    f1 = 2 * hits / np.maximum(n_true + n_guess, 1)
    present = n_true > 0
    own = ~faces.is_copy
    ece = multiclass_calibration_error(
        torch.from_numpy(probabilities), torch.from_numpy(truth), num_classes=NUM_LABELS, n_bins=15
    )
    return Scores(
        model=name,
        n=len(truth),
        n_skipped=faces.num_skipped,
        accuracy=float((guess == truth).mean()),
        accuracy_leak_free=float((guess == truth)[own].mean()) if own.any() else float("nan"),
        uar=float(recall[present].mean()),
        macro_f1=float(f1[present].mean()),
        ece=float(ece),
        per_class={
            label: {
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "f1": float(f1[i]),
                "n": int(n_true[i]),
            }
            for i, label in enumerate(LABELS)
        },
        confusion=confusion.tolist(),
        seconds=round(seconds, 2),
    )


def _opened(image: bytes, as_grey48: bool) -> Image.Image:
    crop = open_crop(image)
    return crop.convert("L").resize((48, 48), Image.Resampling.BILINEAR).convert("RGB") if as_grey48 else crop
