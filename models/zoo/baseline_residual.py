"""The baseline residual network of FER2013 work, 1,672,775 parameters by the count that Keras prints.

The figure fixes the unit. It comes out, with nothing left over, for one grey input channel and the basic unit of
He et al. 2015 (arXiv 1512.03385): two 3x3 convolutions without bias, each followed by batch normalisation, and a
normalised 1x1 convolution beside them where the width changes (there the unit also halves the map).

    stem                  5*5*1*64                                     1,600
    3x3 convolutions      9*(64*32 + 3*32*32 + 32*64 + 5*64*64
                             + 64*128 + 9*128*128)                 1,649,664
    1x1 convolutions      64*32 + 32*64 + 64*128                      12,288
    batch normalisation   2 for each of 64 + 1,792 + 224 channels      4,160
    dense                 128*7 + 7                                      903
                                                                   1,668,615 that are learnt
    running statistics    mean and variance of those channels          4,160
                                                                   1,672,775

torch keeps the running statistics as buffers, so its `parameters()` are the 1,668,615.
"""

from torch import Tensor, nn

from moodreel.schemas.labels import NUM_LABELS

_STEM = 64
_WIDTHS = (32, 32, 64, 64, 64, 128, 128, 128, 128, 128)


def build(drop_rate: float = 0.0, debug: bool = False) -> nn.Module:
    """Return the untrained network: (n, 3, h, w) float32, h = w >= 16, to (n, 7) logits; colours are averaged."""
    shrink = 4 if debug else 1
    channels = _STEM // shrink
    layers: list[nn.Module] = [
        _Grey(),
        nn.Conv2d(1, channels, 5, stride=2, padding=2, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2, padding=1),
    ]
    for width in (width // shrink for width in _WIDTHS):
        layers.append(_Unit(channels, width))
        channels = width
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(drop_rate), nn.Linear(channels, NUM_LABELS)
    )


class _Grey(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.mean(1, keepdim=True)


class _Unit(nn.Module):
    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        stride = 1 if channels == width else 2
        self.main = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.side = (
            nn.Identity()
            if stride == 1
            else nn.Sequential(nn.Conv2d(channels, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width))
        )

    def forward(self, maps: Tensor) -> Tensor:
        total: Tensor = self.main(maps) + self.side(maps)
        return total.relu()
