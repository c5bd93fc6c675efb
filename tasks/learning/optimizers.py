"""The five optimizers that the source paper compares, at a rate that is set before each step."""

from collections.abc import Iterable

import torch
from torch.nn import Parameter
from torch.optim import Optimizer

from moodreel.schemas.training import TrainingConfig


def build_optimizer(parameters: Iterable[Parameter], config: TrainingConfig) -> Optimizer:
    """Return the optimizer that the recipe names; "sgd-momentum" is v <- momentum v + g, w <- w - rate v."""
    weights, decay = list(parameters), config.weight_decay
    match config.optimizer:
        case "sgd-momentum":
            return torch.optim.SGD(
                weights, momentum=config.momentum, nesterov=config.nesterov, weight_decay=decay, fused=True
            )
        case "sgd":
            return torch.optim.SGD(weights, weight_decay=decay, fused=True)
        case "adagrad":
            return torch.optim.Adagrad(weights, weight_decay=decay)
        case "rmsprop":
            return torch.optim.RMSprop(weights, weight_decay=decay)
        case "adam":
            return torch.optim.Adam(weights, weight_decay=decay)


def descend(optimizer: Optimizer, loss: torch.Tensor, rate: float, gradient_norm: float | None) -> None:
    """Take one step down the gradient of a loss.

    Raises:
        FloatingPointError: the loss is not finite, so the run has diverged.
    """
    if not torch.isfinite(loss):
        raise FloatingPointError(f"the loss became {loss.item()}: try a lower learning rate")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]  # torch types it so
    for group in optimizer.param_groups:
        group["lr"] = rate
        if gradient_norm is not None:
            torch.nn.utils.clip_grad_norm_(group["params"], gradient_norm)
    optimizer.step()
