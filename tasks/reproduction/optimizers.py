"""GAN-SGDMA under the five optimizers that its paper compares, on one small budget."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from moodreel.schemas.training import OneCycle, OptimizerName, TrainingConfig
from moodreel.tasks.learning.recipes import RECIPES
from moodreel.tasks.learning.train import EpochMetrics
from moodreel.tasks.reproduction.claims import OURS
from moodreel.tasks.reproduction.text import TextTable

NUM_EPOCHS: Final = 8
NUM_FACES: Final = 6_000  # to learn from
NUM_VALIDATION_FACES: Final = 1_500
# Twice the rate at which a rate search (`find_rate`, batches of 32) has its smallest smoothed loss, rounded: under
# momentum that is about the peak that trains well, and one rule for all five.
PEAK_RATES: Final[dict[OptimizerName, float]] = {
    "sgd-momentum": 0.02,
    "sgd": 0.15,
    "adagrad": 0.0016,
    "rmsprop": 0.00014,
    "adam": 0.001,
}


@dataclass(frozen=True, slots=True)
class Race:
    """How one optimizer did: its epochs, and the sentence that says how it diverged if it did."""

    optimizer: OptimizerName
    history: list[EpochMetrics]
    divergence: str | None


def optimizer_config(optimizer: OptimizerName, num_epochs: int) -> TrainingConfig:
    """Return GAN-SGDMA's recipe with another optimizer at its own peak rate, without teachers."""
    recipe = RECIPES[OURS]()
    assert isinstance(recipe.schedule, OneCycle)
    schedule = recipe.schedule.model_copy(update={"peak_rate": PEAK_RATES[optimizer]})
    return recipe.model_copy(
        update={
            "optimizer": optimizer,
            "schedule": schedule,
            "num_epochs": num_epochs,
            "batch_size": recipe.batch_size // 2,  # twice the steps at the same cost
            "distillation": None,
        }
    )


def races_as_text(races: Sequence[Race]) -> TextTable:
    """Return a row an optimizer; one that diverged has a note that says so."""
    head = ("optimizer", "peak rate", "final accuracy, %", "best accuracy, %", "best epoch", "final loss", "s an epoch")
    rows = [(race.optimizer, f"{PEAK_RATES[race.optimizer]:g}", *_figures(race.history)) for race in races]
    notes = [f"{race.optimizer}: {race.divergence}" for race in races if race.divergence]
    kept = "Accuracy is that on held-out training faces; the final one is what the optimizer ends at."
    return TextTable("GAN-SGDMA under five optimizers", head, rows, (kept, *notes))


def _figures(history: Sequence[EpochMetrics]) -> tuple[str, ...]:
    if not history:
        return ("n/a",) * 5
    best = max(history, key=lambda epoch: epoch.accuracy)
    seconds = sum(epoch.seconds for epoch in history) / len(history)
    return (
        f"{100 * history[-1].accuracy:.2f}",
        f"{100 * best.accuracy:.2f}",
        str(best.epoch + 1),
        f"{history[-1].losses['class']:.3f}",
        f"{seconds:.1f}",
    )
