"""`moodreel train`: a recipe by name, its progress, and what ships in the end."""

import sys
from pathlib import Path
from typing import Any

from moodreel.tasks.evaluate import score
from moodreel.tasks.export import export_model
from moodreel.tasks.labelled import LabelledFaces, decode_grey, read_labelled_faces
from moodreel.tasks.recipes import RECIPES
from moodreel.tasks.train import EpochMetrics, predict_grey, train_classifier

VERSION = "1"


def run_training(recipe: str, data: Path, out: Path, *, resume: bool, init: Path | None) -> None:
    """Train on the split `train`, measure on `public_test`, and write weights and manifest to `out`.

    Raises:
        ValueError: no recipe has that name, or the data can't be used.
    """
    if recipe not in RECIPES:
        raise ValueError(f"no recipe {recipe!r}; there are: {', '.join(RECIPES)}")
    config = RECIPES[recipe]()
    train, held_out = read_labelled_faces(data, "train"), read_labelled_faces(data, "public_test")
    network = train_classifier(
        config, train, held_out, out, resume=resume, init=init, on_epoch=lambda epoch: _tell(epoch, config.num_epochs)
    )
    probabilities = predict_grey(network, decode_grey(held_out.images, config.source_px), config.input_px)
    manifest = export_model(network, config, recipe, out, **_facts(recipe, data, held_out, probabilities))
    print(
        f"{manifest.model_id}: accuracy {manifest.metrics['public_test_accuracy']:.4f}; {out}/{recipe}.toml",
        file=sys.stderr,
    )


def _facts(recipe: str, data: Path, held_out: LabelledFaces, probabilities: Any) -> dict[str, object]:
    scores = score(recipe, held_out, probabilities, 0.0)
    return {
        "version": VERSION,
        "licence": "research use: the pictures of FER2013 belong to their photographers",
        "trained_on": "FER2013 train, FER+ votes as soft labels",
        "trained_with": f"moodreel train {recipe} --data {data.name}",
        "metrics": {
            "public_test_accuracy": round(scores.accuracy, 4),
            "public_test_accuracy_leak_free": round(scores.accuracy_leak_free, 4),
            "public_test_uar": round(scores.uar, 4),
            "public_test_macro_f1": round(scores.macro_f1, 4),
        },
        "measured_with": f"moodreel evaluate {recipe} --data {data.name} --split public_test",
    }


def _tell(epoch: EpochMetrics, num_epochs: int) -> None:
    print(
        f"epoch {epoch.epoch + 1}/{num_epochs}: train loss {epoch.train_loss:.3f}, accuracy {epoch.accuracy:.4f}, "
        f"{epoch.seconds:.0f} s, about {epoch.seconds * (num_epochs - epoch.epoch - 1) / 60:.0f} min left",
        file=sys.stderr,
        flush=True,
    )
