"""What a step of training does: the class loss, and the objective that applies it to one network."""

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moodreel.models.features import find_head
from moodreel.schemas.training import TrainingConfig
from moodreel.tasks.learning.examples import Batch
from moodreel.tasks.learning.machine import autocast
from moodreel.tasks.learning.optimizers import build_optimizer, descend
from moodreel.tasks.learning.teachers import Teachers


class Objective(Protocol):
    """One way of learning. `network` maps inputs to logits; it is what is measured and shipped."""

    network: nn.Module

    def begin_epoch(self, is_frozen: bool) -> None:
        """Prepare for an epoch; a frozen one changes the last dense layer alone."""
        ...

    def step(self, batch: Batch, rate: float) -> dict[str, float]:
        """Learn from a batch at a rate and return the losses by name, the class loss as "class"."""
        ...

    def state(self) -> dict[str, Any]:
        """Return all that a later `restore` needs to go on as if nothing had happened."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a saved state."""
        ...


class ClassLoss:
    """Cross-entropy on soft targets, weighted by class and mixed with what teachers say, as the recipe has it."""

    def __init__(self, config: TrainingConfig, weights: Tensor | None, device: torch.device) -> None:
        self._weights = None if weights is None else weights.to(device)
        self._distillation = config.distillation
        self._teachers = Teachers(config.distillation, device) if config.distillation else None

    def ask_teachers(self, inputs: Tensor) -> Tensor | None:
        """Return the teachers' softened probabilities (n, 7) of a batch, None without teachers."""
        return self._teachers(inputs) if self._teachers else None

    def __call__(self, logits: Tensor, targets: Tensor, taught: Tensor | None) -> Tensor:
        """Return the mean loss of (n, outputs) logits; the targets' classes weigh what the class weights say."""
        losses = -(targets * logits.float().log_softmax(1)).sum(1)
        if self._weights is None:
            loss = losses.mean()
        else:
            weights = targets @ self._weights
            loss = (weights * losses).sum() / weights.sum()
        if taught is None or self._distillation is None:
            return loss
        heat, share = self._distillation.temperature, self._distillation.share
        lesson = F.kl_div((logits.float() / heat).log_softmax(1), taught, reduction="batchmean") * heat**2
        return (1 - share) * loss + share * lesson


class LabelObjective:
    """Learn the labels with one network."""

    def __init__(self, network: nn.Module, config: TrainingConfig, class_loss: ClassLoss, device: torch.device) -> None:
        self.network = network.to(device).to(memory_format=torch.channels_last)
        self._config, self._class_loss, self._device = config, class_loss, device
        self._optimizer = build_optimizer(network.parameters(), config)

    def begin_epoch(self, is_frozen: bool) -> None:
        """See `Objective`."""
        self.network.train(not is_frozen)
        head = find_head(self.network)
        last = set(head.parameters()) if head is not None else set()
        if is_frozen and not last:
            raise ValueError(f"{self._config.network} ends in no layer that could be trained alone: no frozen_epochs")
        for parameter in self.network.parameters():
            parameter.requires_grad_(not is_frozen or parameter in last)
        if not is_frozen and self._optimizer.state and self._optimizer.state.keys() == last:
            # torch's fused SGD fails when some weights have momentum and others none yet
            self._optimizer.state.clear()

    def step(self, batch: Batch, rate: float) -> dict[str, float]:
        """See `Objective`."""
        batch = batch.to(self._device)
        taught = self._class_loss.ask_teachers(batch.inputs)
        with autocast(self._config.precision, self._device):
            logits = self.network(batch.inputs)
        loss = self._class_loss(logits, batch.targets, taught)
        descend(self._optimizer, loss, rate, self._config.gradient_norm)
        return {"class": loss.item()}

    def state(self) -> dict[str, Any]:
        """See `Objective`."""
        return {"network": self.network.state_dict(), "optimizer": self._optimizer.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """See `Objective`."""
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
