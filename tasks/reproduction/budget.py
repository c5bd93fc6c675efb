"""The budget that all networks of a comparison share, and which faces each of them sees."""

from typing import Final

import numpy as np

from moodreel.schemas.training import OneCycle, TrainingConfig
from moodreel.tasks.learning.labelled import LabelledFaces
from moodreel.tasks.learning.recipes import RECIPES
from moodreel.tasks.reproduction.claims import OURS

NUM_EPOCHS: Final = 9
_SHARED = ("batch_size", "augmentation", "vote_share", "class_balance", "source_px", "input_px", "seed")
_HELD_OUT = 10  # one in so many training faces chooses the best epoch
_SEED = 3


def comparison_config(name: str, num_epochs: int) -> TrainingConfig:
    """Return a method's recipe under the common budget.

    What decides how much is learnt from what is that of GAN-SGDMA for all, but nobody has a teacher. The peak of the
    rate and what keeps a kind of network from diverging stay its own: no one rate suits all.
    """
    recipe, ours = RECIPES[name](), RECIPES[OURS]()
    assert isinstance(recipe.schedule, OneCycle) and isinstance(ours.schedule, OneCycle)
    shared = {setting: getattr(ours, setting) for setting in _SHARED}
    return recipe.model_copy(
        update=shared
        | {
            "num_epochs": num_epochs,
            "patience_epochs": None,
            "distillation": None,
            "schedule": ours.schedule.model_copy(update={"peak_rate": recipe.schedule.peak_rate}),
        }
    )


def hold_out(faces: LabelledFaces) -> tuple[LabelledFaces, LabelledFaces]:
    """Split faces into those to learn from and a tenth, of every class, that chooses the best epoch."""
    order = np.random.default_rng(_SEED).permutation(len(faces.labels))
    order = order[np.argsort(faces.labels[order], kind="stable")]
    is_held = np.arange(len(order)) % _HELD_OUT == 0
    return faces.pick(np.sort(order[~is_held])), faces.pick(np.sort(order[is_held]))


def draw_faces(faces: LabelledFaces, count: int) -> LabelledFaces:
    """Return so many of the faces, the same ones every time; all of them if there are fewer."""
    return faces.pick(np.sort(np.random.default_rng(_SEED).permutation(len(faces.labels))[:count]))
