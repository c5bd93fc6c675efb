"""VGG's plan, narrow: a small fast network for CPUs without bfloat16, and a wider one to teach the others.

After Simonyan & Zisserman 2014 (arXiv 1409.1556). Eight 3x3 convolutions with batch normalisation in four stages, then
a global average instead of VGG's two large dense layers. At half of VGG's width, 32 to 256 filters, that is 1.2 M
parameters and 120 M multiplications a face at 48 px; at three quarters 2.6 M and 266 M.
"""

from collections.abc import Sequence

from torch import nn

from moodreel.schemas.labels import NUM_LABELS

_HALF = (32, 64, 128, 256)
_THREE_QUARTERS = (48, 96, 192, 384)


def build(drop_rate: float = 0.0, debug: bool = False) -> nn.Module:
    """Return the untrained small network: (n, 3, h, w) float32 RGB, h = w >= 16, to (n, 7) logits."""
    return _build(_HALF, drop_rate, debug)


def build_medium(drop_rate: float = 0.0, debug: bool = False) -> nn.Module:
    """Return the same at three quarters of VGG's width."""
    return _build(_THREE_QUARTERS, drop_rate, debug)


def _build(widths: Sequence[int], drop_rate: float, debug: bool) -> nn.Module:
    layers: list[nn.Module] = []
    channels = 3
    for width in (width // 4 if debug else width for width in widths):
        for _ in range(2):
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(drop_rate), nn.Linear(channels, NUM_LABELS)
    )
