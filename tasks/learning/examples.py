"""What a network learns from, batch by batch: faces that are augmented anew each time, or vectors as they are."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from moodreel.schemas.labels import NUM_LABELS
from moodreel.schemas.training import TrainingConfig
from moodreel.tasks.learning.augment import augment_faces
from moodreel.tasks.learning.labelled import LabelledFaces, decode_grey


@dataclass(frozen=True, slots=True)
class Batch:
    """`inputs` (n, ...) float32 as the network takes them, `targets` (n, number of its outputs) that sum to 1."""

    inputs: Tensor
    targets: Tensor

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on a device."""
        return Batch(self.inputs.to(device), self.targets.to(device))

    def mixed(self, share: float, generator: torch.Generator) -> "Batch":
        """Mix the last `share` of the batch with the batch in reverse, inputs and targets alike (arXiv 1710.09412).

        The first ones stay as they are: the adversarial scheme takes its real examples from there.
        """
        count = int(share * len(self.targets))
        if count == 0:
            return self
        own = torch.rand(len(self.targets), generator=generator)
        own[: len(own) - count] = 1.0
        return Batch(_mix(self.inputs, own), _mix(self.targets, own))


class Examples(Protocol):
    """Labelled examples of one kind; `labels` is (n,) int64."""

    labels: NDArray[np.int64]

    def draw(self, chosen: Tensor, generator: torch.Generator) -> Batch:
        """Return the chosen ones for learning, augmented with randomness from the generator alone."""
        ...

    def plain(self, chosen: slice) -> Tensor:
        """Return the inputs of the chosen ones for measuring."""
        ...


class FaceExamples:
    """Grey faces, reduced to `source_px`, enlarged to `input_px`, repeated in three channels of -1..1."""

    def __init__(self, faces: LabelledFaces, config: TrainingConfig) -> None:
        self.labels = faces.labels
        self._config = config
        self._pixels = decode_grey(faces.images, config.source_px)
        self._targets = soft_targets(faces.labels, faces.votes, config.vote_share)

    def draw(self, chosen: Tensor, generator: torch.Generator) -> Batch:
        """See `Examples`."""
        config = self._config
        images = augment_faces(self._grey(chosen.numpy()), config.input_px, config.augmentation, generator)
        return Batch(_three_channels(images), self._targets[chosen])

    def plain(self, chosen: slice) -> Tensor:
        """See `Examples`."""
        side = (self._config.input_px, self._config.input_px)
        images = torch.nn.functional.interpolate(self._grey(chosen), side, mode="bilinear", align_corners=False)
        return _three_channels(images)

    def _grey(self, chosen: slice | NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(self._pixels[chosen]).unsqueeze(1).float() / 255


class VectorExamples:
    """Feature vectors (n, ...) float32; what brings them to one scale is the network's."""

    def __init__(self, vectors: NDArray[np.float32], labels: NDArray[np.int64], targets: Tensor) -> None:
        self.labels = labels
        self.vectors = vectors
        self._inputs, self._targets = torch.from_numpy(vectors), targets

    def draw(self, chosen: Tensor, generator: torch.Generator) -> Batch:
        """See `Examples`."""
        return Batch(self._inputs[chosen], self._targets[chosen])

    def plain(self, chosen: slice) -> Tensor:
        """See `Examples`."""
        return self._inputs[chosen]


def soft_targets(labels: NDArray[np.int64], votes: NDArray[np.float32], vote_share: float) -> Tensor:
    """Mix label and votes to (n, 7); an example without votes keeps its label alone."""
    hard = np.eye(NUM_LABELS, dtype=np.float32)[labels]
    has_votes = votes.sum(axis=1, keepdims=True) > 0
    return torch.from_numpy(np.where(has_votes, (1 - vote_share) * hard + vote_share * votes, hard).astype(np.float32))


def epoch_order(labels: NDArray[np.int64], is_balanced: bool, generator: torch.Generator) -> Tensor:
    """Return the order of an epoch: a permutation, or as many draws with every class equally likely."""
    if not is_balanced:
        return torch.randperm(len(labels), generator=generator)
    return torch.multinomial(class_weights(labels)[labels], len(labels), replacement=True, generator=generator)


def class_weights(labels: NDArray[np.int64]) -> Tensor:
    """Return (7,) float32, inverse to how often a class occurs; 0 for a class without examples."""
    counts = torch.from_numpy(np.bincount(labels, minlength=NUM_LABELS)).float()
    return torch.where(counts > 0, len(labels) / (counts.clamp_min(1) * (counts > 0).sum()), 0.0)


def _mix(values: Tensor, own: Tensor) -> Tensor:
    """Mix (n, ...) values with themselves in reverse; `own` (n,) is what each keeps of itself."""
    share = own.view(-1, *[1] * (values.ndim - 1))
    return share * values + (1 - share) * values.flip(0)


def _three_channels(images: Tensor) -> Tensor:
    return (images * 2 - 1).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
