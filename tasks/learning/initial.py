"""Weights to start from, ours or a user's own."""

from pathlib import Path

from torch import nn

from moodreel.models.features import find_head
from moodreel.models.packing import load_weights
from moodreel.schemas.labels import LABELS

_COUNTER = ".num_batches_tracked"  # of batch normalisation, which learns nothing from it; old weights lack it


def load_initial_weights(network: nn.Module, path: Path) -> None:
    """Load a safetensors file into a network; a last layer of other outputs stays, all else that is learnt must fit.

    Raises:
        ValueError: the file is missing or no safetensors, or belongs to another network or order of labels.
    """
    given, own = load_weights(path, LABELS), network.state_dict()
    layer = find_head(network)
    head = {
        f"{name}.{part}" for name, module in network.named_modules() if module is layer for part in ("weight", "bias")
    }
    fitting = {name: tensor for name, tensor in given.items() if name in own and tensor.shape == own[name].shape}
    counters = {name for name in own.keys() - given.keys() if name.endswith(_COUNTER)}
    strange = sorted((own.keys() | given.keys()) - fitting.keys() - head - counters)
    if strange:
        raise ValueError(f"{path} holds another network's weights: {strange[0]} does not fit ({len(strange)} do not)")
    network.load_state_dict(fitting, strict=False)
