"""The architectures by name. Adding one: a file in `zoo/` with a function, and a line here."""

from importlib import import_module
from typing import Final, cast

from torch import nn

# name: "module:function"; each function is called with (drop_rate, debug)
NETWORKS: Final = {
    "debug-cnn": "debug_cnn:build",
    "inception-resnet-v2": "inception_resnet_v2:build",
    "small-vgg": "small_vgg:build",
}


def build_network(name: str, drop_rate: float = 0.0, *, debug: bool = False) -> nn.Module:
    """Build an untrained network: (n, 3, h, w) float32 pixels in -1..1 to (n, 7) float32 logits; n = 0 is allowed.

    Args:
        name: one of NETWORKS.
        drop_rate: share of the last layer's inputs that training leaves out.
        debug: the same plan, so narrow that it trains in seconds.

    Raises:
        ValueError: no network has that name.
    """
    if name not in NETWORKS:
        raise ValueError(f"no network {name!r}; known: {', '.join(NETWORKS)}")
    module, function = NETWORKS[name].split(":")
    return cast(nn.Module, getattr(import_module(f"moodreel.models.zoo.{module}"), function)(drop_rate, debug))
