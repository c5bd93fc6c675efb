"""`moodreel train`: a recipe by name, its progress, and what ships in the end."""

import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from moodreel.flows import progress
from moodreel.flows.training_record import TrainingRecord
from moodreel.models.packing import load_weights
from moodreel.models.registry import REGISTERED, read_manifest
from moodreel.schemas.manifest import TrainingRun
from moodreel.schemas.training import TrainingConfig
from moodreel.tasks.learning.calibration import Calibration, calibrate
from moodreel.tasks.learning.deep_examples import read_examples
from moodreel.tasks.learning.denoising import denoising_table
from moodreel.tasks.learning.evaluate import Scores, score
from moodreel.tasks.learning.examples import Examples
from moodreel.tasks.learning.export import export_model
from moodreel.tasks.learning.identity import digest_faces, identify_run
from moodreel.tasks.learning.labelled import LabelledFaces, read_labelled_faces, refuse_missing_classes
from moodreel.tasks.learning.rate_chart import PICTURE, write_rate_search
from moodreel.tasks.learning.rate_finder import find_rate
from moodreel.tasks.learning.recipes import RECIPES
from moodreel.tasks.learning.train import EpochMetrics, predict, train_classifier

VERSION = "1"
KNOWN_FAILINGS = (  # of whatever learnt from FER2013
    "Small, turned or covered faces: it sees 48 px of grey, and the faces of FER2013 mostly look at the camera.",
    "Acted and real expressions look alike to it: the pictures were found by searching the web for emotion words.",
    "About a third of FER2013's labels differ from the majority of ten later taggers (FER+); so much is arguable.",
    "How well it does on different ages, skin colours and sexes is not measured: FER2013 does not name them.",
)


def run_training(recipe: str, data: Path, out: Path, *, warehouse: Path, resume: bool, init: Path | None) -> None:
    """Train on the split `train`, measure on `public_test`, and write weights and manifest to `out`.

    Raises:
        ValueError: no recipe has that name, or the data can't be used.
        FloatingPointError: the run diverged; `out` keeps its last whole epoch.
    """
    config = find_recipe(recipe)
    train, held_out = read_labelled_faces(data, "train"), read_labelled_faces(data, "public_test")
    refuse_missing_classes(train, data)
    if init is not None:
        load_weights(init)  # what is no weights is refused before anything is written
    identity = identify_run(out, config, digest_faces(train, held_out), resume)
    row = {
        "recipe": recipe,
        "config": config.model_dump_json(),
        "data": str(data.resolve()),
        "data_id": identity.data_id,
        "init": None if init is None else str(init.resolve()),
        "code_version": version("moodreel"),
    }
    learning, validation = (_read(recipe, faces, config, out) for faces in (train, held_out))
    with TrainingRecord(warehouse, out, identity, row) as record:
        with progress.steps(recipe) as (done, say), _divergence_told(recipe, out):

            def on_step(step: int, num_steps: int) -> None:
                record.begin()
                done(step, num_steps)

            def on_epoch(history: Sequence[EpochMetrics]) -> None:
                record.add(history)
                say(_line(history[-1], config.num_epochs))

            trained = train_classifier(
                config, learning, validation, out, resume=resume, init=init, on_epoch=on_epoch, on_step=on_step
            )
        probabilities = predict(trained.network, validation, config)
        scores, calibration = score(recipe, held_out, probabilities, 0.0), calibrate(probabilities, held_out.labels)
        facts = _facts(recipe, data, init, scores, calibration, trained.history)
        if config.deep:
            facts["measured_with"] = facts["training"][-1]["command"]  # `evaluate` takes frame classifiers
        elif config.adversarial:
            clean = validation.plain(slice(None))[:, :1]
            facts["denoising"] = denoising_table(trained.network, clean, config.adversarial.noise_sigmas)
        manifest = export_model(trained.network, config, recipe, out, **facts)
        record.complete(trained.history, manifest.model_id)
    print(
        f"{manifest.model_id}: accuracy {manifest.metrics['public_test_accuracy']:.4f}; {out}/{recipe}.toml",
        file=sys.stderr,
    )


def search_rate(recipe: str, data: Path, out: Path, *, init: Path | None) -> None:
    """Propose a learning rate for a recipe, print it, and write its picture and numbers to `out`; nothing is trained.

    Raises:
        ValueError: no recipe has that name, the data can't be used, or the loss fell at no rate.
    """
    config = find_recipe(recipe)
    train = read_labelled_faces(data, "train")
    refuse_missing_classes(train, data)
    examples = _read(recipe, train, config, out)
    with progress.steps(f"{recipe}: rates") as (done, _):
        search = find_rate(config, examples, init=init, on_step=done)
    write_rate_search(search, f"{recipe} on {data.name}", out)
    print(
        f"{recipe}: try a rate of {search.chosen_rate:.2g}; the loss is smallest at {search.minimum_rate:.2g}, "
        f"see {out / PICTURE}"
    )


def find_recipe(name: str) -> TrainingConfig:
    """Return a recipe's configuration.

    Raises:
        ValueError: no recipe has that name.
    """
    if name not in RECIPES:
        raise ValueError(f"no recipe {name!r}; there are: {', '.join(RECIPES)}")
    return RECIPES[name]()


def _read(recipe: str, faces: LabelledFaces, config: TrainingConfig, out: Path) -> Examples:
    if config.deep is None:
        return read_examples(faces, config, out)
    with progress.steps(f"{recipe}: deep features") as (done, say):
        say(f"deep features of {len(faces.labels)} faces, read once and kept in {out}")
        return read_examples(faces, config, out, done)


def _facts(
    recipe: str,
    data: Path,
    init: Path | None,
    scores: Scores,
    calibration: Calibration,
    history: list[EpochMetrics],
) -> dict[str, Any]:
    hours = sum(epoch.seconds for epoch in history) / 3600
    metrics = {
        "accuracy": scores.accuracy,
        "accuracy_leak_free": scores.accuracy_leak_free,
        "uar": scores.uar,
        "macro_f1": scores.macro_f1,
        "ece": calibration.ece,
        "ece_uncalibrated": calibration.ece_uncalibrated,
    }
    return {
        "version": VERSION,
        "licence": "research use: the pictures of FER2013 belong to their photographers",
        "trained_on": "FER2013 train, FER+ votes as soft labels",
        "temperature": round(calibration.temperature, 4),
        "metrics": {f"public_test_{name}": round(value, 4) for name, value in metrics.items() if value is not None},
        "measured_with": f"moodreel evaluate {recipe} --data {data.name} --split public_test",
        "known_failings": KNOWN_FAILINGS,
        "training": [
            *(_earlier_runs(init) if init else ()),
            {
                "command": f"moodreel train {recipe} --data {data.name}" + (f" --init {init.name}" if init else ""),
                "epochs": len(history),
                "hours": round(hours, 2),
                "machine": _machine(),
            },
        ],
        "per_class": {
            label: {name: round(row[name] or 0.0, 4) for name in ("precision", "recall", "f1")}
            for label, row in scores.per_class.items()
            if row["n"]
        },
    }


def _earlier_runs(init: Path) -> list[TrainingRun]:
    """Return the runs behind weights to start from, as far as they are a registered model's."""
    digest = hashlib.sha256(init.read_bytes()).hexdigest()
    return [run for name in REGISTERED if (known := read_manifest(name)).sha256 == digest for run in known.training]


def _machine() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} CPU cores"


@contextmanager
def _divergence_told(recipe: str, out: Path) -> Iterator[None]:
    try:
        yield
    except FloatingPointError as error:
        raise FloatingPointError(
            f"{recipe} diverged: {error} (--find-rate proposes one); {out} keeps the last whole epoch"
        ) from error


def _line(epoch: EpochMetrics, num_epochs: int) -> str:
    losses = ", ".join(f"{name} {loss:.3f}" for name, loss in epoch.losses.items())
    return (
        f"epoch {epoch.epoch + 1}/{num_epochs}: loss {losses}, accuracy {epoch.accuracy:.4f}, "
        f"{epoch.seconds:.0f} s, about {epoch.seconds * (num_epochs - epoch.epoch - 1) / 60:.0f} min left"
    )
