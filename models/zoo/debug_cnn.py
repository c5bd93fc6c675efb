"""The debug flavour of a frame classifier: three convolutions, for tests of everything around a network."""

from torch import nn

from moodreel.schemas.labels import NUM_LABELS


def build(drop_rate: float = 0.0, debug: bool = True) -> nn.Module:
    """Return a network of about 6,000 parameters: (n, 3, h, w) float32 RGB to (n, 7) logits."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(drop_rate),
        nn.Linear(32, NUM_LABELS),
    )
