"""Find a learning rate by raising it until the loss explodes (Smith 2017, arXiv 1506.01186; fastai's way)."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from moodreel.schemas.training import TrainingConfig
from moodreel.tasks.learning.examples import Examples, epoch_order
from moodreel.tasks.learning.pretraining import pretrain
from moodreel.tasks.learning.train import build_objective

_LOWEST, _HIGHEST, _NUM_STEPS = 1e-6, 10.0, 100
_MEMORY = 0.9  # of the smoothed loss; the past weighs that much at every step
_EXPLODED = (1.25, 0.5)  # above the smallest smoothed loss: times, and nats; fastai's 4 times is never reached here,
# since batch normalisation keeps the loss of any rate near that of guessing
_BACK_OFF = 10.0


@dataclass(frozen=True, slots=True)
class RateSearch:
    """What the search saw, step by step, and the rate that it proposes.

    Attributes:
        rates: of each step.
        losses: class loss of each step's batch.
        smoothed: the same, smoothed.
        minimum_rate: where the smoothed loss is smallest.
        chosen_rate: that itself for the short peak of a one-cycle schedule, a tenth of it for the others.
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    minimum_rate: float
    chosen_rate: float


def find_rate(
    config: TrainingConfig,
    train: Examples,
    *,
    init: Path | None = None,
    on_step: Callable[[int, int], None] = lambda step, num_steps: None,
) -> RateSearch:
    """Train a start network, which is thrown away, at rates that grow tenfold every 14 steps.

    The proposal for a rate that lasts is a tenth of the one at which the smoothed loss is smallest: at the minimum
    itself training is about to explode, and the other usual rule, the steepest descent, hangs on the noise of a few
    batches. The short peak of a one-cycle schedule can take the minimum: on FER2013 it was 0.009 for
    Inception-ResNet-v2 and 0.046 for small-vgg, where peaks of 0.012 and 0.05 train well and 0.05 is too much for the
    former.

    Args:
        config: the recipe; of its schedule only the kind is used.
        train: what is learnt from.
        init: safetensors file with the weights to start from.
        on_step: called after each step with its number, from 1, and the largest number of steps.

    Raises:
        ValueError: there are fewer examples than a batch holds, or the loss fell at no rate.
    """
    if len(train.labels) < config.batch_size:
        raise ValueError(f"{len(train.labels)} examples are fewer than one batch of {config.batch_size}")
    objective = build_objective(config, train, init)
    if init is None:
        pretrain(objective.network, train, config)
    objective.begin_epoch(is_frozen=False)
    generator = torch.Generator().manual_seed(config.seed)
    order = torch.empty(0, dtype=torch.int64)
    losses: list[float] = []
    rates = np.geomspace(_LOWEST, _HIGHEST, _NUM_STEPS).tolist()
    for rate in rates:
        if len(order) < config.batch_size:
            order = epoch_order(train.labels, config.class_balance == "sampling", generator)
        chosen, order = order[: config.batch_size], order[config.batch_size :]
        batch = train.draw(chosen, generator).mixed(config.mix_share, generator)
        try:
            losses.append(objective.step(batch, rate)["class"])
        except FloatingPointError:
            break
        on_step(len(losses), _NUM_STEPS)
        smoothed = smooth(losses)
        if smoothed[-1] > max(min(smoothed) * _EXPLODED[0], min(smoothed) + _EXPLODED[1]):
            break
    smoothed = smooth(losses)
    if not smoothed or min(smoothed) == smoothed[0]:
        raise ValueError("the loss fell at no rate: this network does not learn from these data")
    minimum_rate = rates[smoothed.index(min(smoothed))]
    chosen_rate = minimum_rate if config.schedule.kind == "one-cycle" else minimum_rate / _BACK_OFF
    return RateSearch(rates[: len(losses)], losses, smoothed, minimum_rate, chosen_rate)


def smooth(losses: list[float]) -> list[float]:
    """Return the exponential moving average, corrected for its start at zero."""
    average, result = 0.0, []
    for count, loss in enumerate(losses, 1):
        average = _MEMORY * average + (1 - _MEMORY) * loss
        result.append(average / (1 - _MEMORY**count))
    return result
