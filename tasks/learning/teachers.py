"""Registered models as teachers: an average of their logits on the same augmented pictures."""

import torch
import torch.nn.functional as F
from torch import Tensor

from moodreel.models.inference import load_network
from moodreel.models.registry import read_manifest
from moodreel.schemas.manifest import ImageInput
from moodreel.schemas.training import Distillation
from moodreel.tasks.learning.machine import autocast


class Teachers:
    """Frozen networks, each given the batch as its manifest wants pictures.

    Raises:
        ValueError: a teacher is not registered, or its weights are not those of its manifest.
    """

    def __init__(self, distillation: Distillation, device: torch.device) -> None:
        self._heat, self._device = distillation.temperature, device
        self._teachers = []
        for name in distillation.teachers:
            manifest = read_manifest(name)
            network = load_network(manifest).to(device).to(memory_format=torch.channels_last)
            self._teachers.append((network, manifest.image_input(), manifest.output_order()))

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return (n, 7) probabilities at the recipe's temperature for (n, 3, s, s) pixels in -1..1."""
        total = torch.zeros(len(inputs), 1, device=self._device)
        with torch.no_grad(), autocast("bf16", self._device):
            for network, wanted, order in self._teachers:
                total = total + network(_prepare(inputs, wanted)).float().log_softmax(1)[:, order]
        return (total / (len(self._teachers) * self._heat)).softmax(1)


def _prepare(inputs: Tensor, wanted: ImageInput) -> Tensor:
    """Reduce and enlarge (n, 3, s, s) pixels of -1..1, and bring them to the network's range."""
    for side_px in (wanted.source_px, wanted.side_px):
        if side_px != inputs.shape[-1]:
            inputs = F.interpolate(inputs, (side_px, side_px), mode="bilinear", antialias=True)
    return ((inputs + 1) / 2 - wanted.mean) / wanted.std
