"""What a manifest says of a training run beside its figures: by what command, from which data, with which limits."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from moodreel.flows.training_order import TrainingOrder
from moodreel.models.registry import read_manifest, registered
from moodreel.schemas.labels import NUM_LABELS
from moodreel.schemas.manifest import Manifest, TrainingRun
from moodreel.schemas.training import SoundFeatures, TrainingConfig
from moodreel.tasks.learning.labelled import LabelledFaces
from moodreel.tasks.learning.train import EpochMetrics

# pictures of each label in the training split of FER2013, by which it is known in every format
_FER2013_TRAIN: Final = (3995, 436, 4097, 7215, 4830, 3171, 4965)
_FER2013: Final[dict[str, Any]] = {
    "licence": "research use: the pictures of FER2013 belong to their photographers",
    "known_failings": (
        "Small, turned or covered faces: it sees 48 px of grey, and the faces of FER2013 mostly look at the camera.",
        "Acted and real expressions look alike to it: the pictures were found by searching the web for emotion words.",
        "About a third of FER2013's labels differ from the majority of ten later taggers (FER+); so much is arguable.",
        "How well it does on different ages, skin colours and sexes is not measured: FER2013 does not name them.",
    ),
}
_CHOSEN: Final = "Its best epoch was chosen on the pictures that it is measured on, which flatters it a little."
_UNMEASURED: Final = "How well it does on different ages, origins and sexes is not measured."
_CORPORA: Final = ["emodb_2s", "ravdess_speech"]  # the files of EmoDB and RAVDESS
_NOT_FOR_SALE: Final = "research only, not for commercial use"
_BY_OPENSMILE: Final = "its features come from openSMILE, whose licence says so"
_BY_RAVDESS: Final = "RAVDESS, which it learnt from, is CC BY-NC-SA 4.0"
_ACTED: Final[dict[str, Any]] = {
    "trained_on": "EmoDB (German) and RAVDESS speech (North American English), both acted",
    "known_failings": (
        "Acted emotion in two languages, recorded in studios: unacted speech, other languages and noisy rooms are not "
        "measured.",
        "RAVDESS has two sentences and EmoDB ten, so that it may know them better than free speech.",
        "EmoDB has no surprise: what it knows of surprise comes from English alone.",
    ),
}


def describe_faces(train: LabelledFaces, data: str, config: TrainingConfig, init: Path | None = None) -> dict[str, Any]:
    """Return licence, trained_on and known_failings of a network.

    Args:
        train: what it learnt from.
        data: the name of the file or folder with that.
        config: its recipe.
        init: weights that it began with; a registered model's licence goes on with them.
    """
    is_fer2013 = np.bincount(train.labels, minlength=NUM_LABELS).tolist() == list(_FER2013_TRAIN)
    has_votes = config.vote_share > 0 and bool(train.votes.any())
    votes = "in place of its labels" if config.is_by_votes else "as soft labels"
    trained_on = f"{'FER2013' if is_fer2013 else data} train{f', FER+ votes {votes}' if has_votes else ''}"
    if config.distillation:
        trained_on += (
            f"; {config.distillation.share:.0%} of the loss is what {' and '.join(config.distillation.teachers)} said"
        )
    if is_fer2013:
        facts = {**_FER2013, "trained_on": trained_on}
    else:
        failings = (f"Small, turned or covered faces: it sees {config.source_px} px of grey.", _UNMEASURED)
        facts = {"licence": _licence_of(data), "trained_on": trained_on, "known_failings": failings}
    if config.keep == "best":
        facts["known_failings"] += (_CHOSEN,)
    start = _model_of(init)
    if start is not None and start.licence != facts["licence"]:
        facts["licence"] += f"; of the weights of {start.name}, with which it began: {start.licence}"
    return facts


def describe_clips(corpora: NDArray[np.str_], config: TrainingConfig) -> dict[str, Any]:
    """Return licence, trained_on and known_failings of a network that learnt from clips of these (n,) corpora."""
    names, is_opensmile = sorted(set(corpora.tolist())), isinstance(config.sound, SoundFeatures)
    if names == _CORPORA:
        why = f"{_BY_OPENSMILE}, and {_BY_RAVDESS}" if is_opensmile else _BY_RAVDESS
        return {**_ACTED, "licence": f"{_NOT_FOR_SALE}: {why}"}
    told = ", ".join(names)
    failings = ("Voices, languages and rooms unlike those that it learnt from.", _UNMEASURED)
    licence = f"{_NOT_FOR_SALE}: {_BY_OPENSMILE}; beside it {_licence_of(told)}" if is_opensmile else _licence_of(told)
    return {"licence": licence, "trained_on": told, "known_failings": failings}


def _licence_of(data: str) -> str:
    return f"that of {data}, which it learnt from"


def describe_run(order: TrainingOrder, history: Sequence[EpochMetrics]) -> tuple[TrainingRun, ...]:
    """Return the runs behind weights, this one last; those before are known if they start from a registered model's."""
    this = TrainingRun(
        command=order.command,
        epochs=len(history),
        hours=round(sum(epoch.seconds for epoch in history) / 3600, 2),
        machine=torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} CPU cores",
    )
    start = _model_of(order.init)
    return (*(start.training if start else ()), this)


def _model_of(weights: Path | None) -> Manifest | None:
    """Return the registered model that has these weights, None if none has."""
    if weights is None:
        return None
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    return next((model for name in registered() if (model := read_manifest(name)).sha256 == digest), None)
