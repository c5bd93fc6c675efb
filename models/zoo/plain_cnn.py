"""The plain CNN of many FER2013 tutorials: 128, 256, 512, 512 filters and two dense layers before the classes.

Each 3x3 convolution has no padding and is followed by batch normalisation (added here: without it SGD needs epochs to
leave the start), ReLU and pooling, which takes 48 px to a 1x1 map.
"""

from torch import nn

from moodreel.schemas.labels import NUM_LABELS

_WIDTHS = (128, 256, 512, 512)
_DENSE = (512, 256)


def build(drop_rate: float = 0.0, debug: bool = False) -> nn.Module:
    """Return the untrained network: (n, 3, h, w) float32, h = w >= 46, to (n, 7) logits."""
    shrink = 8 if debug else 1
    layers: list[nn.Module] = []
    channels = 3
    for width in (width // shrink for width in _WIDTHS):
        layers += [nn.Conv2d(channels, width, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)]
        channels = width
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    for width in (width // shrink for width in _DENSE):
        layers += [nn.Dropout(drop_rate), nn.Linear(channels, width), nn.ReLU()]
        channels = width
    return nn.Sequential(*layers, nn.Dropout(drop_rate), nn.Linear(channels, NUM_LABELS))
