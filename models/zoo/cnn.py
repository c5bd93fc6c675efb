"""The comparator CNN of the GAN-SGDMA paper, which does not describe it: the classical plan of LeCun et al. 1998.

Three convolutions, each with ReLU and pooling, a dense layer, the classes; no normalisation.
"""

from torch import nn

from moodreel.schemas.labels import NUM_LABELS

_LAYERS = ((32, 5), (64, 3), (128, 3))  # filters and their side
_DENSE = 256
_MAP_PX = 6  # side of the last map, whatever the input's


def build(drop_rate: float = 0.0, debug: bool = False) -> nn.Module:
    """Return the untrained network: (n, 3, h, w) float32, h = w >= 16, to (n, 7) logits."""
    shrink = 4 if debug else 1
    layers: list[nn.Module] = []
    channels = 3
    for width, side in _LAYERS:
        layers += [nn.Conv2d(channels, width // shrink, side, padding=side // 2), nn.ReLU(), nn.MaxPool2d(2)]
        channels = width // shrink
    return nn.Sequential(
        *layers,
        nn.AdaptiveAvgPool2d(_MAP_PX),
        nn.Flatten(),
        nn.Linear(channels * _MAP_PX**2, _DENSE // shrink),
        nn.ReLU(),
        nn.Dropout(drop_rate),
        nn.Linear(_DENSE // shrink, NUM_LABELS),
    )
