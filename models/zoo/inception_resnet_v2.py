"""Inception-ResNet-v2 (Szegedy et al. 2016, arXiv 1602.07261), timm's implementation with seven outputs.

75 px is the smallest side it takes. Its last map is 1x1 up to 96 px; its 1536 pooled features feed the classifier.
"""

import timm
from torch import nn

from moodreel.schemas.labels import NUM_LABELS


def build(drop_rate: float = 0.0, debug: bool = False) -> nn.Module:
    """Return the untrained network, one block of each kind for `debug`: (n, 3, h, w), h = w >= 75, to (n, 7) logits."""
    network: nn.Module = timm.create_model(
        "inception_resnet_v2", pretrained=False, num_classes=NUM_LABELS, drop_rate=drop_rate
    )
    if debug:
        for stage in ("repeat", "repeat_1", "repeat_2"):
            setattr(network, stage, nn.Sequential(getattr(network, stage)[0]))
    return network
