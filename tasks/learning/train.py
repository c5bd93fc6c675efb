"""Train a network on labelled examples.

The run folder holds one checkpoint, replaced after every epoch, the best weights, and `metrics.jsonl`. A run killed at
any moment goes on from its last whole epoch with `resume`; order, augmentation, noise and dropout of an epoch depend on
the seed and the epoch's number alone, so the outcome is that of an undisturbed run.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from moodreel.models.networks import build_network
from moodreel.schemas.training import TrainingConfig
from moodreel.tasks.learning.adversarial import AdversarialNetwork, AdversarialObjective
from moodreel.tasks.learning.checkpoint import load_best, load_checkpoint, save_best, save_checkpoint, write_whole
from moodreel.tasks.learning.examples import Examples, class_weights, epoch_order
from moodreel.tasks.learning.initial import load_initial_weights
from moodreel.tasks.learning.machine import autocast, keep_freed_memory
from moodreel.tasks.learning.objective import ClassLoss, LabelObjective, Objective
from moodreel.tasks.learning.pretraining import pretrain
from moodreel.tasks.learning.rates import epochs_without_rise, rate_at, refuse_unreached

METRICS = "metrics.jsonl"
_MEASURED_AT_ONCE = 128


@dataclass(frozen=True, slots=True)
class EpochMetrics:
    """One line of `metrics.jsonl`; losses are means over the epoch, accuracy is that on the validation examples."""

    epoch: int
    rate: float
    losses: dict[str, float]
    accuracy: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Trained:
    """The network with the weights that the recipe keeps, and how it came to them."""

    network: nn.Module
    history: list[EpochMetrics]


def train_classifier(
    config: TrainingConfig,
    train: Examples,
    validation: Examples,
    out: Path,
    *,
    resume: bool = False,
    init: Path | None = None,
    on_epoch: Callable[[Sequence[EpochMetrics]], None] = lambda history: None,
    on_step: Callable[[int, int], None] = lambda step, num_steps: None,
) -> Trained:
    """Run a recipe.

    Args:
        config: the recipe.
        train: what is learnt from.
        validation: what each epoch is measured on.
        out: the run folder, made if need be.
        resume: continue the run in `out`.
        init: safetensors file with the weights to start from.
        on_epoch: called after each epoch with all that are finished.
        on_step: called after each step with its number in the run, from 1, and the number of all steps.

    Raises:
        ValueError: `out` holds another recipe's run, or a run already and `resume` is off; there are fewer examples
            than a batch holds, or fewer steps than the schedule needs; the recipe freezes layers without `init`, or
            its network can't learn such examples so.
        FloatingPointError: the run diverged.
    """
    steps_per_epoch = len(train.labels) // config.batch_size
    if steps_per_epoch == 0:
        raise ValueError(f"{len(train.labels)} examples are fewer than one batch of {config.batch_size}")
    refuse_unreached(config.schedule, config.num_epochs * steps_per_epoch)
    state = load_checkpoint(out, config, resume)
    if config.frozen_epochs and init is None and state is None:
        raise ValueError("this recipe trains the last layer first: give the weights of the others with --init")
    keep_freed_memory()
    objective = build_objective(config, train, init)
    out.mkdir(parents=True, exist_ok=True)  # not before all that a user may have got wrong is checked
    history: list[EpochMetrics] = []
    if state is not None:
        objective.restore(state["objective"])
        history = [EpochMetrics(**line) for line in state["history"]]
        _write_metrics(out / METRICS, state["history"])  # a kill may have left its last line out
    elif init is None:
        pretrain(objective.network, train, config)
    num_steps = config.num_epochs * steps_per_epoch

    while len(history) < config.num_epochs and not _is_stale(config, history):
        epoch, started = len(history), time.monotonic()
        accuracies = [line.accuracy for line in history]
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + epoch)
        torch.manual_seed(config.seed * 1_000_003 + epoch)  # dropout and noise draw from the global one
        order = epoch_order(train.labels, config.class_balance == "sampling", generator)
        objective.begin_epoch(epoch < config.frozen_epochs)
        totals: dict[str, float] = {}
        for step in range(steps_per_epoch):
            chosen = order[step * config.batch_size : (step + 1) * config.batch_size]
            batch = train.draw(chosen, generator).mixed(config.mix_share, generator)
            rate = rate_at(config.schedule, epoch * steps_per_epoch + step, num_steps, accuracies)
            for name, loss in objective.step(batch, rate).items():
                totals[name] = totals.get(name, 0.0) + loss
            on_step(epoch * steps_per_epoch + step + 1, num_steps)
        probabilities = predict(objective.network, validation, config)
        if not np.isfinite(probabilities).all():  # the last step broke it; no checkpoint may take that over
            raise FloatingPointError("the network's outputs are no numbers any more: try a lower learning rate")
        accuracy = float((probabilities.argmax(1) == validation.labels).mean())
        losses = {name: total / steps_per_epoch for name, total in totals.items()}
        history.append(EpochMetrics(epoch, rate, losses, accuracy, round(time.monotonic() - started, 1)))
        if config.keep == "last" or epochs_without_rise([line.accuracy for line in history]) == 0:
            save_best(out, objective.network.state_dict())
        lines = [asdict(line) for line in history]
        save_checkpoint(out, config, {"objective": objective.state(), "history": lines})
        _write_metrics(out / METRICS, lines)
        on_epoch(history)

    objective.network.load_state_dict(load_best(out))
    return Trained(objective.network.eval(), history)


def build_objective(config: TrainingConfig, train: Examples, init: Path | None) -> Objective:
    """Build the network that a recipe names, its start weights, and what it learns by.

    Raises:
        ValueError: the network takes no such examples, or has no denoiser and critic where the recipe wants them.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(config.seed)
    network = build_network(config.network, config.drop_rate, debug=config.is_debug)
    _refuse_misfit(network, config, train)
    if init is not None:
        load_initial_weights(network, init)
    weights = class_weights(train.labels) if config.class_balance == "weights" else None
    class_loss = ClassLoss(config, weights, device)
    if config.adversarial:
        return AdversarialObjective(network, config, config.adversarial, class_loss, device)
    return LabelObjective(network, config, class_loss, device)


def _refuse_misfit(network: nn.Module, config: TrainingConfig, examples: Examples) -> None:
    if config.adversarial and not isinstance(network, AdversarialNetwork):
        raise ValueError(f"{config.network} has no denoiser and no critic: leave adversarial out")
    try:
        with torch.inference_mode():
            network.eval()(examples.plain(slice(0, 1)))
        network.train()
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"{config.network} can't take what this recipe gives it: {str(error).splitlines()[0]}"
        ) from error


def predict(network: nn.Module, examples: Examples, config: TrainingConfig) -> NDArray[np.float32]:
    """Classify all examples into (n, 7) probabilities."""
    network.eval()
    device = next(network.parameters()).device
    chunks = []
    with torch.inference_mode(), autocast(config.precision, device):
        for first in range(0, len(examples.labels), _MEASURED_AT_ONCE):
            inputs = examples.plain(slice(first, first + _MEASURED_AT_ONCE)).to(device)
            chunks.append(network(inputs).float().softmax(1).cpu())
    result: NDArray[np.float32] = torch.cat(chunks).numpy()
    return result


def _is_stale(config: TrainingConfig, history: list[EpochMetrics]) -> bool:
    waited = epochs_without_rise([line.accuracy for line in history])
    return config.patience_epochs is not None and waited >= config.patience_epochs


def _write_metrics(path: Path, lines: list[dict[str, Any]]) -> None:
    """Write all epochs anew, so that a resumed run leaves no gap and no double."""
    text = "".join(json.dumps(line) + "\n" for line in lines)
    write_whole(path, lambda file: file.write_text(text, encoding="utf-8"))
