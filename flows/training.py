"""`moodreel train`: a recipe by name, its progress, and what ships in the end."""

import sys
from pathlib import Path

from moodreel.schemas.training import TrainingConfig
from moodreel.tasks.learning.evaluate import Scores, score
from moodreel.tasks.learning.examples import FaceExamples
from moodreel.tasks.learning.export import export_model
from moodreel.tasks.learning.labelled import read_labelled_faces
from moodreel.tasks.learning.recipes import RECIPES
from moodreel.tasks.learning.train import EpochMetrics, predict, train_classifier

VERSION = "1"


def run_training(recipe: str, data: Path, out: Path, *, resume: bool, init: Path | None) -> None:
    """Train on the split `train`, measure on `public_test`, and write weights and manifest to `out`.

    Raises:
        ValueError: no recipe has that name, or the data can't be used.
    """
    config = find_recipe(recipe)
    train, held_out = read_labelled_faces(data, "train"), read_labelled_faces(data, "public_test")
    validation = FaceExamples(held_out, config)
    trained = train_classifier(
        config,
        FaceExamples(train, config),
        validation,
        out,
        resume=resume,
        init=init,
        on_epoch=lambda epoch: _tell(epoch, config.num_epochs),
    )
    scores = score(recipe, held_out, predict(trained.network, validation, config), 0.0)
    manifest = export_model(trained.network, config, recipe, out, **_facts(recipe, data, scores))
    print(
        f"{manifest.model_id}: accuracy {manifest.metrics['public_test_accuracy']:.4f}; {out}/{recipe}.toml",
        file=sys.stderr,
    )


def find_recipe(name: str) -> TrainingConfig:
    """Return a recipe's configuration.

    Raises:
        ValueError: no recipe has that name.
    """
    if name not in RECIPES:
        raise ValueError(f"no recipe {name!r}; there are: {', '.join(RECIPES)}")
    return RECIPES[name]()


def _facts(recipe: str, data: Path, scores: Scores) -> dict[str, object]:
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
    losses = ", ".join(f"{name} {loss:.3f}" for name, loss in epoch.losses.items())
    print(
        f"epoch {epoch.epoch + 1}/{num_epochs}: loss {losses}, accuracy {epoch.accuracy:.4f}, "
        f"{epoch.seconds:.0f} s, about {epoch.seconds * (num_epochs - epoch.epoch - 1) / 60:.0f} min left",
        file=sys.stderr,
        flush=True,
    )
