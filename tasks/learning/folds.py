"""Cross-validation that never lets a speaker be heard in training and in measuring."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from moodreel.schemas.labels import LABELS
from moodreel.tasks.learning import metrics
from moodreel.tasks.learning.clips import LabelledClips

NUM_FOLDS = 6
_SEED = 0


@dataclass(frozen=True, slots=True)
class Fold:
    """Places of the clips to learn from and of those to measure, (n,) int64 each."""

    learn: NDArray[np.int64]
    measure: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class VoiceScores:
    """How a recipe does on the clips of one corpus, or of all, each judged by a network that never heard its speaker.

    `tasks/learning/metrics.py` says what each figure is; a corpus' UAR is over the classes that it has.
    """

    corpus: str
    n: int
    num_speakers: int
    uar: float
    accuracy: float
    macro_f1: float
    ece: float
    per_class: dict[str, dict[str, float | int | None]]
    confusion: list[list[int]]


def speaker_folds(clips: LabelledClips) -> list[Fold]:
    """Deal the speakers of all corpora into six folds of like classes, the same ones every time.

    Raises:
        ValueError: a clip's speaker is not named, or there are fewer speakers than folds.
    """
    if (clips.speakers == "").any():
        raise ValueError("a fold by speaker needs clips whose speaker is named: Parquet with a column speaker")
    num_speakers = len(np.unique(clips.speakers))
    if num_speakers < NUM_FOLDS:
        raise ValueError(f"{num_speakers} speakers are too few for {NUM_FOLDS} folds that share none")
    dealer = StratifiedGroupKFold(NUM_FOLDS, shuffle=True, random_state=_SEED)
    dealt = dealer.split(np.zeros(len(clips.labels)), clips.labels, clips.speakers)
    return [Fold(np.sort(learn), np.sort(measure)) for learn, measure in dealt]


def cross_validate(
    clips: LabelledClips, folds: list[Fold], judge: Callable[[int, Fold], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Return (n, 7) probabilities of all clips, each by what learnt from the other folds.

    `judge` takes a fold's number and the fold, and returns (k, 7) for its clips to measure.
    """
    probabilities = np.zeros((len(clips.labels), len(LABELS)), np.float32)
    for number, fold in enumerate(folds):
        probabilities[fold.measure] = judge(number, fold)
    return probabilities


def score_corpora(clips: LabelledClips, probabilities: NDArray[np.float32]) -> list[VoiceScores]:
    """Score (n, 7) probabilities by corpus, and all together if there are several."""
    return [_score(name, clips, probabilities, chosen) for name, chosen in _parts(clips)]


def _parts(clips: LabelledClips) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    names = np.unique(clips.corpora)
    for name in names:
        yield str(name), clips.corpora == name
    if len(names) > 1:
        yield "all", np.ones(len(clips.labels), np.bool_)


def _score(
    corpus: str, clips: LabelledClips, probabilities: NDArray[np.float32], chosen: NDArray[np.bool_]
) -> VoiceScores:
    labels, found = clips.labels[chosen], probabilities[chosen]
    counts = metrics.confusion_counts(found, labels)
    return VoiceScores(
        corpus=corpus,
        n=int(chosen.sum()),
        num_speakers=len(np.unique(clips.speakers[chosen])),
        uar=metrics.mean_recall(counts),
        accuracy=metrics.accuracy(counts),
        macro_f1=metrics.macro_f1(counts),
        ece=metrics.calibration_error(found, labels),
        per_class=metrics.class_figures(counts),
        confusion=counts.tolist(),
    )
