"""The recipes that `reproduce` compares, as their debug flavours."""

from collections.abc import Callable, MutableMapping

from moodreel.schemas.training import TrainingConfig
from moodreel.tasks.learning.recipes import RECIPES
from moodreel.tasks.reproduction.claims import METHODS


def debug_recipes() -> dict[str, Callable[[], TrainingConfig]]:
    """Narrow networks and small batches, so that a few dozen pictures are enough."""
    small = {"is_debug": True, "batch_size": 16}
    found = {name: RECIPES[name]().model_copy(update=small) for name in METHODS}
    return {name: lambda config=config: config for name, config in found.items()}


def use_debug_recipes(recipes: MutableMapping[str, Callable[[], TrainingConfig]] = RECIPES) -> None:
    """Put them in the place of the real ones for the life of this process."""
    recipes.update(debug_recipes())
