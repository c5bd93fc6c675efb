"""`moodreel train`: a recipe by name, its progress, and what ships in the end."""

import sys
from pathlib import Path
from typing import Any

from moodreel.flows import progress
from moodreel.flows.training_facts import describe_faces, describe_run
from moodreel.flows.training_order import TrainingOrder
from moodreel.flows.training_record import RecordedRun
from moodreel.flows.voice_training import read_voices, train_voice
from moodreel.models.packing import load_weights
from moodreel.schemas.labels import LABELS
from moodreel.schemas.manifest import Manifest
from moodreel.schemas.training import TrainingConfig
from moodreel.tasks.learning.calibration import Calibration, calibrate
from moodreel.tasks.learning.deep_examples import read_examples
from moodreel.tasks.learning.denoising import denoising_table
from moodreel.tasks.learning.evaluate import Scores, score
from moodreel.tasks.learning.examples import Examples
from moodreel.tasks.learning.export import write_manifest, write_weights
from moodreel.tasks.learning.identity import digest_faces, identify_run
from moodreel.tasks.learning.labelled import (
    LabelledFaces,
    labelled_by_votes,
    read_labelled_faces,
    refuse_missing_classes,
)
from moodreel.tasks.learning.rate_chart import PICTURE, write_rate_search
from moodreel.tasks.learning.rate_finder import find_rate
from moodreel.tasks.learning.train import EpochMetrics, Trained, predict


def run_training(order: TrainingOrder) -> None:
    """Train on the split `train`, measure on `public_test`, and write weights and manifest to the run's folder.

    The figures are those of the weights as they ship. A network that learns the taggers' votes alone is measured by
    them too, and its temperature fitted to them.

    Raises:
        ValueError: no recipe has that name, a change does not fit it, or the data can't be used.
        FloatingPointError: the run diverged; `out` keeps its last whole epoch.
    """
    config, data, out = order.config, order.data, order.out
    if config.sound:
        train_voice(order)
        return
    train, held_out = read_labelled_faces(data, "train"), read_labelled_faces(data, "public_test")
    refuse_missing_classes(train.labels, data)
    progress.tell_skipped(train.skipped, "training pictures", data)
    progress.tell_skipped(held_out.skipped, "pictures to measure on", data)
    if config.is_by_votes:
        held_out = labelled_by_votes(held_out)
    progress.tell_missing(held_out.labels, data)
    if order.init is not None:
        load_weights(order.init, LABELS)  # what is no weights is refused before anything is written
    identity = identify_run(out, config, digest_faces(train, held_out), order.resume, order.init)
    learning, validation = (_read(order.model, faces, config, out) for faces in (train, held_out))

    def export(trained: Trained) -> Manifest:
        write_weights(trained.network, order.model, out)
        probabilities = predict(trained.network, validation, config)
        scores = score(order.model, held_out, probabilities, 0.0)
        facts = {
            **describe_faces(train, data.name, config, order.init),
            **_facts(order, scores, calibrate(probabilities, held_out.labels), trained.history),
        }
        if config.deep and config.deep.num_frames > 1:
            facts["measured_with"] = facts["training"][-1].command  # `evaluate` has no tracks
        if config.adversarial and not config.deep:
            clean = validation.plain(slice(None))[:, :1]
            facts["denoising"] = denoising_table(trained.network, clean, config.adversarial.noise_sigmas)
        return write_manifest(trained.network, config, order.model, out, **facts)

    manifest = RecordedRun(order, identity).train(learning, validation, export)
    accuracy = manifest.metrics[f"{_measured_on(config)}_accuracy"]
    print(f"{manifest.model_id}: accuracy {accuracy:.4f}; {out}/{order.model}.toml", file=sys.stderr)


def search_rate(order: TrainingOrder) -> None:
    """Propose a learning rate, print it, and write its picture and numbers to the run's folder; nothing is trained.

    Raises:
        ValueError: what `run_training` raises, or the loss fell at no rate.
    """
    config, data, out, model = order.config, order.data, order.out, order.model
    if config.sound:
        examples = read_voices(model, config, data, out)
    else:
        train = read_labelled_faces(data, "train")
        refuse_missing_classes(train.labels, data)
        examples = _read(model, train, config, out)
    with progress.steps(f"{model}: rates") as (done, _):
        search = find_rate(config, examples, init=order.init, on_step=done)
    write_rate_search(search, f"{model} on {data.name}", out)
    what = "peak rate" if config.schedule.kind == "one-cycle" else "rate"
    print(
        f"{model}: try a {what} of {search.chosen_rate:.2g}; the loss is smallest at {search.minimum_rate:.2g}, "
        f"see {out / PICTURE}"
    )


def _read(model: str, faces: LabelledFaces, config: TrainingConfig, out: Path) -> Examples:
    if config.deep is None:
        return read_examples(faces, config, out)
    with progress.steps(f"{model}: deep features") as (done, say):
        say(f"deep features of {len(faces.labels)} faces, read once and kept in {out}")
        return read_examples(faces, config, out, done)


def _measured_on(config: TrainingConfig) -> str:
    return "public_test_by_votes" if config.is_by_votes else "public_test"


def _facts(
    order: TrainingOrder, scores: Scores, calibration: Calibration, history: list[EpochMetrics]
) -> dict[str, Any]:
    metrics = {
        "accuracy": scores.accuracy,
        "accuracy_leak_free": scores.accuracy_leak_free,
        "uar": scores.uar,
        "macro_f1": scores.macro_f1,
        "ece": calibration.ece,
        "ece_uncalibrated": calibration.ece_uncalibrated,
    }
    runs, judged = describe_run(order, history), _measured_on(order.config)
    how = " --by-votes" if order.config.is_by_votes else ""
    return {
        "version": str(len(runs)),
        "temperature": round(calibration.temperature, 4),
        "metrics": {f"{judged}_{name}": round(value, 4) for name, value in metrics.items() if value is not None},
        "measured_with": f"moodreel evaluate {order.model} --data {order.data.name} --split public_test{how}",
        "training": runs,
        "per_class": {
            label: {name: round(row[name] or 0.0, 4) for name in ("precision", "recall", "f1")}
            for label, row in scores.per_class.items()
            if row["n"]
        },
    }
