"""The architectures by name. Adding one: a file in `zoo/` with a function, and a line here."""

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Final, Protocol, cast, runtime_checkable

from torch import Tensor, nn

# name: "module:function"; each function is called with (drop_rate, debug)
NETWORKS: Final = {
    "debug-cnn": "debug_cnn:build",
    "gan-sgdma": "gan_sgdma:build",
    "gan-sgdma-deep": "gan_sgdma_vectors:build_deep",
    "gan-sgdma-voice": "gan_sgdma_vectors:build_voice",
    "inception-resnet-v2": "inception_resnet_v2:build",
    "ser-cnn": "ser_cnn:build",
    "small-vgg": "small_vgg:build",
    "medium-vgg": "small_vgg:build_medium",
    "baseline-residual": "baseline_residual:build",
    "plain-cnn": "plain_cnn:build",
    "mobilenet-v3-large": "timm_classics:build_mobilenet_v3_large",
    "resnet34": "timm_classics:build_resnet34",
    "resnet50": "timm_classics:build_resnet50",
    "wide-resnet-50-2": "timm_classics:build_wide_resnet_50_2",
    "vgg16": "timm_classics:build_vgg16",
    "vgg19": "timm_classics:build_vgg19",
    "inception-v3": "timm_classics:build_inception_v3",
    "xception": "timm_classics:build_xception",
    "cnn": "cnn:build",
    "r-cnn": "region_cnn:build",
    "lstm": "row_readers:build_lstm",
    "rnn": "row_readers:build_rnn",
    "dbn": "deep_belief:build",
}


@runtime_checkable
class Pretrainable(Protocol):
    """A network that learns from inputs alone before it learns from labels."""

    def pretrain(self, draw_batches: Callable[[], Iterable[Tensor]]) -> None:
        """Learn from (n, ...) batches of inputs on the network's device; each call of `draw_batches` gives one pass."""
        ...


@runtime_checkable
class Described(Protocol):
    """A network whose name leaves open how wide it is."""

    @property
    def structure(self) -> str:
        """Its widths, in a sentence for its card."""
        ...


def build_network(name: str, drop_rate: float = 0.0, *, debug: bool = False) -> nn.Module:
    """Build an untrained network: (n, 3, h, w) float32 pixels in -1..1 to (n, 7) float32 logits; n = 0 is allowed.

    `gan-sgdma-deep` takes (n, 3072) float32 vectors instead, `gan-sgdma-voice` (n, 1582), and `ser-cnn` (n, 13, t)
    MFCCs of t moments.

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
