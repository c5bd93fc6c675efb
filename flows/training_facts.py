"""What a manifest says of a training run beside its figures: by what command, from which data, with which limits."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch

from moodreel.flows.training_order import TrainingOrder
from moodreel.models.registry import REGISTERED, read_manifest
from moodreel.schemas.manifest import TrainingRun
from moodreel.tasks.learning.train import EpochMetrics

FACES: Final[dict[str, Any]] = {  # of whatever learnt from FER2013
    "licence": "research use: the pictures of FER2013 belong to their photographers",
    "trained_on": "FER2013 train, FER+ votes as soft labels",
    "known_failings": (
        "Small, turned or covered faces: it sees 48 px of grey, and the faces of FER2013 mostly look at the camera.",
        "Acted and real expressions look alike to it: the pictures were found by searching the web for emotion words.",
        "About a third of FER2013's labels differ from the majority of ten later taggers (FER+); so much is arguable.",
        "How well it does on different ages, skin colours and sexes is not measured: FER2013 does not name them.",
    ),
}
VOTES_ALONE: Final = "FER2013 train, FER+ votes in place of its labels"
VOICES: Final[dict[str, Any]] = {  # of whatever learnt from EmoDB and RAVDESS
    "licence": (
        "research only, not for commercial use: its features come from openSMILE, whose licence says so, and RAVDESS, "
        "which it learnt from, is CC BY-NC-SA 4.0"
    ),
    "trained_on": "EmoDB (German) and RAVDESS speech (North American English), both acted",
    "known_failings": (
        "Acted emotion in two languages, recorded in studios: unacted speech, other languages and noisy rooms are not "
        "measured.",
        "RAVDESS has two sentences and EmoDB ten, so that it may know them better than free speech.",
        "EmoDB has no surprise: what it knows of surprise comes from English alone.",
    ),
}


def describe_run(order: TrainingOrder, history: Sequence[EpochMetrics]) -> tuple[TrainingRun, ...]:
    """Return the runs behind weights, this one last; those before are known if they start from a registered model's."""
    this = TrainingRun(
        command=order.command,
        epochs=len(history),
        hours=round(sum(epoch.seconds for epoch in history) / 3600, 2),
        machine=torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} CPU cores",
    )
    return (*(_earlier_runs(order.init) if order.init else ()), this)


def _earlier_runs(init: Path) -> list[TrainingRun]:
    digest = hashlib.sha256(init.read_bytes()).hexdigest()
    return [run for name in REGISTERED if (known := read_manifest(name)).sha256 == digest for run in known.training]
