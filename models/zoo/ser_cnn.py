"""Speech emotion network on MFCCs: 1-D convolutions over time, wide dense layers, sex times expression (issue 4)."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from moodreel.schemas.labels import NUM_LABELS

NUM_SEXES = 2
_NUM_COEFFICIENTS = 13
_KERNEL = 8
_POOL = 8
_DENSE = (4096, 4096, 1024)


class SerCnn(nn.Module):
    """(n, 13, t) coefficients over time to logits: (n, 14) of sex and expression in training, else the (n, 7) margins.

    The 14 are female with the seven expressions, then male with them.
    """

    def __init__(self, narrow: int, drop_rate: float) -> None:
        super().__init__()
        wide, middle, small = 256 // narrow, 128 // narrow, 64 // narrow
        self.trunk = nn.Sequential(
            nn.BatchNorm1d(_NUM_COEFFICIENTS),  # brings the coefficients to one scale
            *_convolutions(_NUM_COEFFICIENTS, [wide, wide]),
            nn.BatchNorm1d(wide),
            nn.MaxPool1d(_POOL, ceil_mode=True),
            nn.Dropout(drop_rate),
            *_convolutions(wide, [middle] * 4),
            nn.BatchNorm1d(middle),
            nn.MaxPool1d(_POOL, ceil_mode=True),
            nn.Dropout(drop_rate),
            *_convolutions(middle, [small] * 2),
            nn.AdaptiveAvgPool1d(4),
            nn.Flatten(),
        )
        sizes = (4 * small, *(size // narrow for size in _DENSE))
        self.dense = nn.Sequential(
            *(
                nn.Sequential(nn.Linear(below, above), nn.ReLU(), nn.Dropout(drop_rate))
                for below, above in pairwise(sizes)
            )
        )
        self.head = nn.Linear(sizes[-1], NUM_SEXES * NUM_LABELS)

    def forward(self, coefficients: Tensor) -> Tensor:
        """Classify."""
        joint: Tensor = self.head(self.dense(self.trunk(coefficients)))
        return joint if self.training else marginal(joint)


def marginal(joint: Tensor) -> Tensor:
    """Return the (n, 7) logits of the expressions, whatever the sex, from (n, 14) joint ones."""
    logits: Tensor = torch.logsumexp(joint.float().view(-1, NUM_SEXES, NUM_LABELS), dim=1)
    return logits


def build(drop_rate: float = 0.0, debug: bool = False) -> SerCnn:
    """Return the untrained network; `debug` has an eighth of the widths."""
    return SerCnn(8 if debug else 1, drop_rate)


def _convolutions(inputs: int, widths: list[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for below, above in zip([inputs, *widths], widths, strict=False):
        layers += [nn.Conv1d(below, above, _KERNEL, padding="same"), nn.ReLU()]
    return layers
