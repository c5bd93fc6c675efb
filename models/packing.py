"""Weights on disk: int8 with one scale per output channel, restored to float32 when loaded.

A matrix or kernel of an Inception-ResNet-v2 shrinks to a quarter; norms, biases and small tensors stay float32.
"""

from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

_SCALE: Final = ".scale"
_SMALL: Final = 4096  # elements; below that nothing is gained


def save_weights(state: dict[str, Tensor], path: Path) -> None:
    """Write a state dict, large tensors as int8 with float32 scales."""
    packed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if not tensor.is_floating_point() or tensor.ndim < 2 or tensor.numel() < _SMALL:
            packed[name] = tensor.contiguous()
            continue
        rows = tensor.flatten(1).float()
        scale = rows.abs().amax(1, keepdim=True).clamp_min(1e-12) / 127
        packed[name] = (rows / scale).round().to(torch.int8).view(tensor.shape).contiguous()
        packed[name + _SCALE] = scale.squeeze(1).contiguous()
    save_file(packed, path)


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict back, all floats as float32.

    Raises:
        ValueError: there is no such file, or it is no safetensors.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        packed = load_file(path)
    except SafetensorError as error:
        # a pickle can run code when it is opened, so none is ever tried
        raise ValueError(
            f"{path} is no safetensors file ({error}); pickled weights (.pt, .pth) are not read"
        ) from error
    state: dict[str, Tensor] = {}
    for name, tensor in packed.items():
        if name.endswith(_SCALE):
            continue
        scale = packed.get(name + _SCALE)
        if scale is not None:
            tensor = tensor.float() * scale.view(-1, *[1] * (tensor.ndim - 1))
        state[name] = tensor
    return state
