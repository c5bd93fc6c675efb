"""Weights on disk: int8 with one scale per output channel, restored to float32 when loaded.

A matrix or kernel of an Inception-ResNet-v2 shrinks to a quarter; norms, biases and small tensors stay float32.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from moodreel.schemas.labels import LABELS

_SCALE: Final = ".scale"
_ORDER: Final = "labels"  # in the file's metadata: those of the outputs, in their order
_SMALL: Final = 4096  # elements; below that nothing is gained


def save_weights(state: dict[str, Tensor], path: Path) -> None:
    """Write the state dict of a network whose outputs are LABELS, large tensors as int8 with float32 scales."""
    packed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if not tensor.is_floating_point() or tensor.ndim < 2 or tensor.numel() < _SMALL:
            packed[name] = tensor.contiguous()
            continue
        rows = tensor.flatten(1).float()
        scale = rows.abs().amax(1, keepdim=True).clamp_min(1e-12) / 127
        packed[name] = (rows / scale).round().to(torch.int8).view(tensor.shape).contiguous()
        packed[name + _SCALE] = scale.squeeze(1).contiguous()
    save_file(packed, path, {_ORDER: " ".join(LABELS)})


def load_weights(path: Path, labels: Sequence[str]) -> dict[str, Tensor]:
    """Read a state dict back, all floats as float32.

    Args:
        path: a safetensors file, written by `save_weights` or by other programs.
        labels: what its outputs are taken for.

    Raises:
        ValueError: there is no such file, it is no safetensors, or it says itself that its outputs are others.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        packed = load_file(path)
        with safe_open(path, "pt") as file:
            order = (file.metadata() or {}).get(_ORDER)
    except SafetensorError as error:
        # a pickle can run code when it is opened, so none is ever tried
        raise ValueError(
            f"{path} is no safetensors file ({error}); pickled weights (.pt, .pth) are not read"
        ) from error
    if order is not None and order.split() != list(labels):
        raise ValueError(
            f"{path} says that its outputs are {order.replace(' ', ', ')}, expected {', '.join(labels)}: correct the "
            "labels in its manifest, or name other weights"
        )
    state: dict[str, Tensor] = {}
    for name, tensor in packed.items():
        if name.endswith(_SCALE):
            continue
        scale = packed.get(name + _SCALE)
        if scale is not None:
            tensor = tensor.float() * scale.view(-1, *[1] * (tensor.ndim - 1))
        state[name] = tensor
    return state
