"""Measure a registered face model on labelled faces, through the same code that analyses videos."""

import time
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from moodreel.models.inference import Backend
from moodreel.tasks.crops import open_crop
from moodreel.tasks.emotions import EmotionClassifier
from moodreel.tasks.learning import metrics
from moodreel.tasks.learning.calibration import apply_temperature
from moodreel.tasks.learning.labelled import LabelledFaces

_CHUNK = 512


class Labelled(Protocol):
    """Faces or clips, as far as scores need them."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n,) index into LABELS."""
        ...

    @property
    def is_copy(self) -> NDArray[np.bool_] | None:
        """(n,) which are among the training data too, None where nobody knows."""
        ...

    @property
    def num_skipped(self) -> int:
        """Rows left out because their label is not one of the seven."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What is measured on some faces; `tasks/learning/metrics.py` says what each figure is.

    `ece_uncalibrated` is that of the network's own probabilities, before the temperature.
    """

    n: int
    accuracy: float
    uar: float
    macro_f1: float
    auc: float | None
    rmse: float
    ece: float
    ece_uncalibrated: float
    per_class: dict[str, dict[str, float | int | None]]
    confusion: list[list[int]]
    confusion_normalised: list[list[float | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores(Figures):
    """What `moodreel evaluate --json` prints: the figures of all faces, and once more without copies.

    "Leak-free" leaves out training pictures and those with their exact pixels; None if none is left, or if the data
    don't say which they are. The seconds are those of decoding and classifying, without loading the network.
    """

    model: str
    n_skipped: int
    n_leak_free: int | None
    accuracy_leak_free: float | None  # that of leak_free, for whoever wants one figure
    leak_free: Figures | None
    temperature: float
    seconds: float
    seconds_per_image: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores, and the (n, 7) float32 probabilities that they come from."""

    scores: Scores
    probabilities: NDArray[np.float32]


def classify_faces(
    name: str, faces: LabelledFaces, *, as_grey48: bool = False, backend: Backend = "auto"
) -> NDArray[np.float32]:
    """Return (n, 7) probabilities of labelled pictures, which are taken as cut to the face already."""
    return _classify(EmotionClassifier(name, backend), faces, as_grey48)


def evaluate_model(
    name: str, faces: LabelledFaces, *, as_grey48: bool = False, backend: Backend = "auto"
) -> Evaluation:
    """Classify labelled faces and score the outcome.

    Args:
        name: a registered face model.
        faces: pictures cut to the face, with labels.
        as_grey48: reduce the pictures to 48 px grey first.
        backend: what runs the network.

    Raises:
        ValueError: no model has that name.
    """
    classifier = EmotionClassifier(name, backend)
    started = time.monotonic()
    probabilities = _classify(classifier, faces, as_grey48)
    seconds = time.monotonic() - started
    scores = score(name, faces, probabilities, seconds, temperature=classifier.manifest.temperature)
    return Evaluation(scores, probabilities)


def score(
    name: str, faces: Labelled, probabilities: NDArray[np.float32], seconds: float, *, temperature: float = 1.0
) -> Scores:
    """Score (n, 7) probabilities, whose logits were divided by the temperature already, against the labels."""
    own = None if faces.is_copy is None else ~faces.is_copy
    leak_free = None
    if own is not None and own.any():
        leak_free = Figures(**_measure(probabilities[own], faces.labels[own], temperature))
    return Scores(
        **_measure(probabilities, faces.labels, temperature),
        model=name,
        n_skipped=faces.num_skipped,
        n_leak_free=None if own is None else int(own.sum()),
        accuracy_leak_free=leak_free.accuracy if leak_free else None,
        leak_free=leak_free,
        temperature=temperature,
        seconds=round(seconds, 2),
        seconds_per_image=round(seconds / len(faces.labels), 6),
    )


def _measure(probabilities: NDArray[np.float32], labels: NDArray[np.int64], temperature: float) -> dict[str, Any]:
    """Return the values of `Figures`."""
    counts = metrics.confusion_counts(probabilities, labels)
    return {
        "n": len(labels),
        "accuracy": metrics.accuracy(counts),
        "uar": metrics.mean_recall(counts),
        "macro_f1": metrics.macro_f1(counts),
        "auc": metrics.macro_auc(probabilities, labels),
        "rmse": metrics.root_mean_square_error(probabilities, labels),
        "ece": metrics.calibration_error(probabilities, labels),
        "ece_uncalibrated": metrics.calibration_error(apply_temperature(probabilities, 1 / temperature), labels),
        "per_class": metrics.class_figures(counts),
        "confusion": counts.tolist(),
        "confusion_normalised": metrics.confusion_shares(counts),
    }


def _classify(classifier: EmotionClassifier, faces: LabelledFaces, as_grey48: bool) -> NDArray[np.float32]:
    chunks = []
    for first in range(0, len(faces.images), _CHUNK):
        crops = [open_picture(image, as_grey48) for image in faces.images[first : first + _CHUNK]]
        chunks.append(classifier.probabilities(crops, classifier.input.margin))
    return np.concatenate(chunks)


def open_picture(image: bytes, as_grey48: bool) -> Image.Image:
    """Decode to a square RGB picture, 48 px and grey if wanted; an oblong one is stretched, as in training."""
    crop = open_crop(image)
    if as_grey48:
        return crop.convert("L").resize((48, 48), Image.Resampling.BILINEAR).convert("RGB")
    side = max(crop.size)
    return crop if crop.width == crop.height else crop.resize((side, side), Image.Resampling.BILINEAR)
