"""`moodreel train`: a recipe by name, its progress, and what ships in the end."""

import sys
from pathlib import Path
from typing import Any

from moodreel.flows import progress
from moodreel.flows.training_facts import FACES, describe_run
from moodreel.flows.training_record import RecordedRun
from moodreel.flows.voice_training import read_voices, train_voice
from moodreel.models.packing import load_weights
from moodreel.schemas.manifest import Manifest
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
from moodreel.tasks.learning.train import EpochMetrics, Trained, predict


def run_training(recipe: str, data: Path, out: Path, *, warehouse: Path, resume: bool, init: Path | None) -> None:
    """Train on the split `train`, measure on `public_test`, and write weights and manifest to `out`.

    Raises:
        ValueError: no recipe has that name, or the data can't be used.
        FloatingPointError: the run diverged; `out` keeps its last whole epoch.
    """
    config = find_recipe(recipe)
    if config.sound:
        train_voice(recipe, config, data, out, warehouse=warehouse, resume=resume, init=init)
        return
    train, held_out = read_labelled_faces(data, "train"), read_labelled_faces(data, "public_test")
    refuse_missing_classes(train.labels, data)
    if init is not None:
        load_weights(init)  # what is no weights is refused before anything is written
    identity = identify_run(out, config, digest_faces(train, held_out), resume)
    learning, validation = (_read(recipe, faces, config, out) for faces in (train, held_out))

    def export(trained: Trained) -> Manifest:
        probabilities = predict(trained.network, validation, config)
        scores, calibration = score(recipe, held_out, probabilities, 0.0), calibrate(probabilities, held_out.labels)
        facts = _facts(recipe, data, init, scores, calibration, trained.history)
        if config.deep:
            facts["measured_with"] = facts["training"][-1].command  # `evaluate` takes frame classifiers
        elif config.adversarial:
            clean = validation.plain(slice(None))[:, :1]
            facts["denoising"] = denoising_table(trained.network, clean, config.adversarial.noise_sigmas)
        return export_model(trained.network, config, recipe, out, **facts)

    run = RecordedRun(recipe, data, out, warehouse, identity, init)
    manifest = run.train(learning, validation, export, resume=resume)
    accuracy = manifest.metrics["public_test_accuracy"]
    print(f"{manifest.model_id}: accuracy {accuracy:.4f}; {out}/{recipe}.toml", file=sys.stderr)


def search_rate(recipe: str, data: Path, out: Path, *, init: Path | None) -> None:
    """Propose a learning rate for a recipe, print it, and write its picture and numbers to `out`; nothing is trained.

    Raises:
        ValueError: no recipe has that name, the data can't be used, or the loss fell at no rate.
    """
    config = find_recipe(recipe)
    if config.sound:
        examples = read_voices(recipe, config, data, out)
    else:
        train = read_labelled_faces(data, "train")
        refuse_missing_classes(train.labels, data)
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
    metrics = {
        "accuracy": scores.accuracy,
        "accuracy_leak_free": scores.accuracy_leak_free,
        "uar": scores.uar,
        "macro_f1": scores.macro_f1,
        "ece": calibration.ece,
        "ece_uncalibrated": calibration.ece_uncalibrated,
    }
    runs = describe_run(recipe, data, init, history)
    return {
        **FACES,
        "version": str(len(runs)),
        "temperature": round(calibration.temperature, 4),
        "metrics": {f"public_test_{name}": round(value, 4) for name, value in metrics.items() if value is not None},
        "measured_with": f"moodreel evaluate {recipe} --data {data.name} --split public_test",
        "training": runs,
        "per_class": {
            label: {name: round(row[name] or 0.0, 4) for name in ("precision", "recall", "f1")}
            for label, row in scores.per_class.items()
            if row["n"]
        },
    }
