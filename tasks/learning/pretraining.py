"""What some networks do before the first epoch: learn from the inputs alone."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from moodreel.models.networks import Pretrainable
from moodreel.schemas.training import TrainingConfig
from moodreel.tasks.learning.examples import Examples


def pretrain(network: nn.Module, examples: Examples, config: TrainingConfig) -> None:
    """Let a `Pretrainable` network learn from the augmented inputs; others stay as they are.

    The outcome depends on the network, the examples and the recipe alone.
    """
    if not isinstance(network, Pretrainable):
        return
    device = next(network.parameters()).device
    generator = torch.Generator().manual_seed(config.seed)
    torch.manual_seed(config.seed)  # a network draws from the global one

    def draw_batches() -> Iterator[Tensor]:
        order = torch.randperm(len(examples.labels), generator=generator)
        for first in range(0, len(order), config.batch_size):
            yield examples.draw(order[first : first + config.batch_size], generator).inputs.to(device)

    network.pretrain(draw_batches)
