import numpy as np
import pytest
from stripes import stripes

from moodreel.schemas.training import OneCycle
from moodreel.tasks.learning.recipes import RECIPES
from moodreel.tasks.reproduction.budget import comparison_config, draw_faces, hold_out
from moodreel.tasks.reproduction.claims import METHODS, OURS
from moodreel.tasks.reproduction.optimizers import PEAK_RATES, optimizer_config


def test_every_method_has_the_same_budget_and_its_own_peak_rate() -> None:
    configs = {name: comparison_config(name, 5) for name in METHODS}
    for name, config in configs.items():
        recipe, schedule = RECIPES[name]().schedule, config.schedule
        assert isinstance(recipe, OneCycle) and isinstance(schedule, OneCycle)
        assert (config.network, schedule.peak_rate) == (name, recipe.peak_rate)
        assert (config.num_epochs, config.batch_size, config.patience_epochs) == (5, 128, None)
        assert config.distillation is None
    for shared in ("augmentation", "vote_share", "class_balance", "input_px", "source_px", "seed", "frozen_epochs"):
        assert len({repr(getattr(config, shared)) for config in configs.values()}) == 1, shared
    assert [name for name, config in configs.items() if config.adversarial] == [OURS]


def test_a_tenth_of_every_class_is_held_out_and_nothing_is_lost() -> None:
    faces = stripes(210)
    learning, held_out = hold_out(faces)
    assert sorted(learning.images + held_out.images) == sorted(faces.images)
    assert np.bincount(held_out.labels).tolist() == [3] * 7
    assert hold_out(faces)[1].images == held_out.images
    assert len({tuple(part.images) for part in (learning, held_out)}) == 2
    for image, label in zip(held_out.images, held_out.labels, strict=True):
        assert faces.labels[faces.images.index(image)] == label


def test_drawn_faces_are_the_same_every_time() -> None:
    faces = stripes(70)
    drawn = draw_faces(faces, 20)
    assert drawn.images == draw_faces(faces, 20).images
    assert len(set(drawn.images)) == 20 and set(drawn.images) <= set(faces.images)
    assert draw_faces(faces, 500).images == faces.images


@pytest.mark.parametrize("optimizer", PEAK_RATES)
def test_optimizers_differ_in_nothing_but_their_rate(optimizer: str) -> None:
    config = optimizer_config(optimizer, 4)  # type: ignore[arg-type]  # a name of PEAK_RATES
    assert config.optimizer == optimizer
    assert isinstance(config.schedule, OneCycle) and config.schedule.peak_rate == PEAK_RATES[config.optimizer]
    ours = optimizer_config("sgd-momentum", 4)
    assert config.model_copy(update={"optimizer": "sgd-momentum", "schedule": ours.schedule}) == ours
    assert (ours.network, ours.num_epochs, ours.distillation) == (OURS, 4, None)
