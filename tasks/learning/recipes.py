"""Named training recipes: each function is one whole configuration."""

from collections.abc import Callable
from typing import Final

from moodreel.schemas.training import Distillation, OneCycle, TrainingConfig


def inception_resnet_v2() -> TrainingConfig:
    """All layers, taught by the small networks, at the smallest size the network takes.

    A peak rate of 0.05 diverges from random weights.
    """
    return TrainingConfig(
        network="inception-resnet-v2",
        input_px=75,
        num_epochs=10,
        schedule=OneCycle(peak_rate=0.012),
        distillation=Distillation(teachers=("small-vgg",)),
    )


def small_vgg() -> TrainingConfig:
    """The small fast network, about 50 minutes on two cores."""
    return TrainingConfig(
        network="small-vgg",
        input_px=48,
        num_epochs=45,
        batch_size=128,
        schedule=OneCycle(peak_rate=0.05),
        weight_decay=5e-4,
        drop_rate=0.3,
    )


def debug() -> TrainingConfig:
    """A few seconds of training, for tests of the loop."""
    return TrainingConfig(
        network="debug-cnn", input_px=48, num_epochs=3, schedule=OneCycle(peak_rate=0.05), batch_size=16
    )


RECIPES: Final[dict[str, Callable[[], TrainingConfig]]] = {
    "inception-resnet-v2": inception_resnet_v2,
    "small-vgg": small_vgg,
    "debug": debug,
}
