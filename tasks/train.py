"""Train a frame classifier on labelled faces by stochastic gradient descent with momentum.

The run folder holds one checkpoint, replaced after every epoch, and `metrics.jsonl`. A run killed at any moment
continues from its last whole epoch with `resume`; order, augmentation and dropout of an epoch depend on the seed and
the epoch's number alone, so the outcome is that of an undisturbed run.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from moodreel.models.networks import build_network
from moodreel.models.packing import load_weights
from moodreel.schemas.labels import NUM_LABELS
from moodreel.schemas.training import TrainingConfig
from moodreel.tasks.augment import augment_faces
from moodreel.tasks.labelled import LabelledFaces, decode_grey

CHECKPOINT = "checkpoint.pt"
METRICS = "metrics.jsonl"


@dataclass(frozen=True, slots=True)
class EpochMetrics:
    """One line of `metrics.jsonl`; accuracy is measured on the validation faces."""

    epoch: int
    train_loss: float
    accuracy: float
    seconds: float


def train_classifier(
    config: TrainingConfig,
    train: LabelledFaces,
    validation: LabelledFaces,
    out: Path,
    *,
    resume: bool = False,
    init: Path | None = None,
    on_epoch: Callable[[EpochMetrics], None] = lambda metrics: None,
) -> nn.Module:
    """Run a recipe and return the trained network.

    Args:
        config: the recipe.
        train: what is learnt from.
        validation: what each epoch is measured on.
        out: the run folder, made if need be.
        resume: continue the run in `out`.
        init: safetensors file with the weights to start from.
        on_epoch: called after each epoch.

    Raises:
        ValueError: `out` holds another recipe's run, or a run already and `resume` is off.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    network = build_network(config.network, config.drop_rate).to(memory_format=torch.channels_last)
    if init is not None:
        network.load_state_dict(load_weights(init))
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=config.peak_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        nesterov=True,
    )
    steps_per_epoch = len(train.images) // config.batch_size
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        config.peak_rate,
        total_steps=config.num_epochs * steps_per_epoch,
        pct_start=config.warm_share,
        cycle_momentum=False,
    )
    parts: dict[str, Any] = {"network": network, "optimizer": optimizer, "schedule": schedule}
    first_epoch = _load_checkpoint(out / CHECKPOINT, config, parts, resume)

    pixels, targets = decode_grey(train.images, config.source_px), _soft_targets(train, config.vote_share)
    held_out = decode_grey(validation.images, config.source_px)
    for epoch in range(first_epoch, config.num_epochs):
        started = time.monotonic()
        loss = _train_epoch(config, epoch, pixels, targets, parts)
        guess = predict_grey(network, held_out, config.input_px).argmax(1)
        metrics = EpochMetrics(
            epoch, loss, float((guess == validation.labels).mean()), round(time.monotonic() - started, 1)
        )
        _save_checkpoint(out / CHECKPOINT, config, parts, epoch + 1)
        with (out / METRICS).open("a") as lines:
            lines.write(json.dumps(asdict(metrics)) + "\n")
        on_epoch(metrics)
    return network.eval()


def predict_grey(network: nn.Module, pixels: NDArray[np.uint8], input_px: int) -> NDArray[np.float32]:
    """Classify (n, h, w) uint8 grey faces, enlarged to `input_px`, into (n, 7) probabilities."""
    network.eval()
    chunks = []
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for chunk in np.array_split(pixels, max(1, len(pixels) // 128)):
            images = torch.from_numpy(chunk).unsqueeze(1).float() / 255
            images = F.interpolate(images, (input_px, input_px), mode="bilinear", align_corners=False)
            chunks.append(network(_normalise(images)).float().softmax(1))
    result: NDArray[np.float32] = torch.cat(chunks).numpy()
    return result


def _train_epoch(
    config: TrainingConfig, epoch: int, pixels: NDArray[np.uint8], targets: Tensor, parts: dict[str, Any]
) -> float:
    generator = torch.Generator().manual_seed(config.seed * 1_000_003 + epoch)
    torch.manual_seed(config.seed * 1_000_003 + epoch)  # dropout draws from the global one
    network = parts["network"].train()
    order = torch.randperm(len(pixels), generator=generator)
    num_steps = len(pixels) // config.batch_size
    total = 0.0
    for step in range(num_steps):
        chosen = order[step * config.batch_size : (step + 1) * config.batch_size]
        images = torch.from_numpy(pixels[chosen.numpy()]).unsqueeze(1).float() / 255
        images = augment_faces(images, config.input_px, config.augmentation, generator)
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(_normalise(images))
        loss = F.cross_entropy(logits.float(), targets[chosen])
        parts["optimizer"].zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch types it so
        parts["optimizer"].step()
        parts["schedule"].step()
        total += loss.item()
    return total / num_steps


def _normalise(images: Tensor) -> Tensor:
    """Turn (n, 1, s, s) grey 0..1 into (n, 3, s, s) in -1..1."""
    return (images * 2 - 1).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def _soft_targets(faces: LabelledFaces, vote_share: float) -> Tensor:
    """Mix label and votes; a face without votes keeps its label alone."""
    hard = np.eye(NUM_LABELS, dtype=np.float32)[faces.labels]
    has_votes = faces.votes.sum(axis=1, keepdims=True) > 0
    return torch.from_numpy(np.where(has_votes, (1 - vote_share) * hard + vote_share * faces.votes, hard))


def _load_checkpoint(path: Path, config: TrainingConfig, parts: dict[str, Any], resume: bool) -> int:
    if not path.exists():
        return 0
    if not resume:
        raise ValueError(f"{path.parent} holds a run already: continue it with --resume or name another --out")
    state = torch.load(path, weights_only=True)
    if state["config"] != config.model_dump_json():
        raise ValueError(f"{path.parent} holds a run of another recipe: name another --out")
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return int(state["next_epoch"])


def _save_checkpoint(path: Path, config: TrainingConfig, parts: dict[str, Any], next_epoch: int) -> None:
    state = {name: part.state_dict() for name, part in parts.items()}
    state |= {"config": config.model_dump_json(), "next_epoch": next_epoch}
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
