"""A small fast network for CPUs without bfloat16: VGG's plan at half width.

After Simonyan & Zisserman 2014 (arXiv 1409.1556). Eight 3x3 convolutions with batch normalisation in four stages of 32,
64, 128 and 256 filters, then a global average instead of VGG's two large dense layers: 1.2 M parameters, 120 M
multiplications a face at 48 px.
"""

from torch import nn

from moodreel.schemas.labels import NUM_LABELS

_WIDTHS = (32, 64, 128, 256)


def build(drop_rate: float = 0.0, debug: bool = False) -> nn.Module:
    """Return the untrained network: (n, 3, h, w) float32 RGB, h = w >= 16, to (n, 7) logits."""
    layers: list[nn.Module] = []
    channels = 3
    for width in (width // 4 if debug else width for width in _WIDTHS):
        for _ in range(2):
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(drop_rate), nn.Linear(channels, NUM_LABELS)
    )
