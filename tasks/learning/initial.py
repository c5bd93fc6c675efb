"""Weights to start from, ours or a user's own."""

from pathlib import Path

from torch import nn

from moodreel.models.features import find_head
from moodreel.models.packing import load_weights
from moodreel.schemas.labels import LABELS


def load_initial_weights(network: nn.Module, path: Path) -> None:
    """Load a safetensors file into a network; a last layer of other outputs is left as it is, all else must fit.

    Raises:
        ValueError: the file is missing or no safetensors, or belongs to another network or order of labels.
    """
    given, own = load_weights(path, LABELS), network.state_dict()
    layer = find_head(network)
    head = {
        f"{name}.{part}" for name, module in network.named_modules() if module is layer for part in ("weight", "bias")
    }
    fitting = {name: tensor for name, tensor in given.items() if name in own and tensor.shape == own[name].shape}
    strange = sorted((own.keys() | given.keys()) - fitting.keys() - head)
    if strange:
        raise ValueError(f"{path} holds another network's weights: {strange[0]} does not fit ({len(strange)} do not)")
    network.load_state_dict(fitting, strict=False)
