"""The architectures by name. Adding one: a file with `build`, and a line here."""

from importlib import import_module
from typing import Final, cast

from torch import nn

NETWORKS: Final = {
    "debug-cnn": "moodreel.models.debug_cnn",
    "inception-resnet-v2": "moodreel.models.inception_resnet_v2",
}


def build_network(name: str, drop_rate: float = 0.0) -> nn.Module:
    """Build an untrained network.

    Raises:
        ValueError: no network has that name.
    """
    if name not in NETWORKS:
        raise ValueError(f"no network {name!r}; known: {', '.join(NETWORKS)}")
    return cast(nn.Module, import_module(NETWORKS[name]).build(drop_rate))
