"""GAN-SGDMA on vectors: the plan of `gan_sgdma` with fully connected layers (issue 3; the source paper's diagram).

The paper feeds the same network with features of faces and of sound, so only the vector's length differs.
"""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from moodreel.models.zoo.denoiser import Denoiser
from moodreel.schemas.labels import NUM_LABELS

_NUM_DEEP = 2 * 1536  # mean and spread of each feature of Inception-ResNet-v2
_NUM_VOICE = 1582  # openSMILE's IS10
_LOW_LEVEL, _LAYERS, _GROWTH = 256, 2, 64  # outputs of the first layer; of a dense block; outputs a layer adds
_WIDTHS = (512, 512, 256)  # of the critic's layers
_FURTHEST = 5.0  # standard deviations; what lies further out, as odd sound does, counts as that far
_GAIN = 10.0  # of the denoiser's last layer


class AmplifiedLinear(nn.Linear):
    """The denoiser's last layer: starts at zero, the mean of all vectors, and its output is multiplied.

    The mean over thousands of values leaves each of them a gradient too small for the rate that the first layer can
    take.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, vectors: Tensor) -> Tensor:
        """Return (n, outputs) for (n, inputs)."""
        return _GAIN * super().forward(vectors)


class VectorDenoiser(Denoiser):
    """The denoiser with one more skip connection: the input itself, as far as a gate lets it through.

    Thousands of values do not fit through the bottleneck: what it gives lacks detail, which hurts where there is little
    noise. The gate, one number between 0 and 1 for each vector, is read off the same summary.
    """

    def __init__(self, num_values: int, low_level: int, num_layers: int, growth: int) -> None:
        super().__init__(low_level, num_layers, growth, num_values, _connect)
        self.last = AmplifiedLinear(low_level, num_values)
        self.gate = nn.Linear(low_level, 1)

    def forward(self, vectors: Tensor) -> Tensor:
        """Denoise (n, num_values) vectors."""
        summary = self.summarise(vectors)
        result: Tensor = self.gate(summary).sigmoid() * vectors + self.last(summary)
        return result


class VectorCritic(nn.Module):
    """(n, num_values) vectors to a score without bounds (n,), higher for clean ones, and to seven logits (n, 7)."""

    def __init__(self, num_values: int, widths: Sequence[int] = _WIDTHS, drop_rate: float = 0.0) -> None:
        super().__init__()
        sizes = (num_values, *widths)
        self.trunk = nn.Sequential(
            *(
                nn.Sequential(nn.Linear(below, above), nn.LayerNorm(above), nn.LeakyReLU(0.2))
                for below, above in zip(sizes, widths, strict=False)
            )
        )
        self.score = nn.Linear(widths[-1], 1)
        self.classes = nn.Sequential(nn.Dropout(drop_rate), nn.Linear(widths[-1], NUM_LABELS))

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Judge and classify."""
        found = self.trunk(vectors)
        return self.score(found).squeeze(1), self.classes(found)


class VectorGanSgdma(nn.Module):
    """Standardise, denoise, then classify: (n, num_values) vectors as they were measured to (n, 7) logits."""

    centre: Tensor
    scale: Tensor

    def __init__(self, num_values: int, denoiser: nn.Module, critic: nn.Module) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(num_values))
        self.register_buffer("scale", torch.ones(num_values))
        self.denoiser, self.critic = denoiser, critic

    def forward(self, vectors: Tensor) -> Tensor:
        """Classify the denoised vectors."""
        logits: Tensor = self.critic(self.denoiser(self.examples(vectors)))[1]
        return logits

    def examples(self, vectors: Tensor) -> Tensor:
        """Return what denoiser and critic see of a batch: zero mean and a spread of 1 over the training vectors.

        Raises:
            ValueError: the vectors have another length.
        """
        if vectors.shape[1:] != self.centre.shape:
            raise ValueError(f"expected vectors (n, {len(self.centre)}), got {tuple(vectors.shape)}")
        return ((vectors - self.centre) / self.scale).clamp(-_FURTHEST, _FURTHEST)

    @torch.no_grad()
    def pretrain(self, draw_batches: Callable[[], Iterable[Tensor]]) -> None:
        """See `Pretrainable`: learn mean and spread; what never changes keeps its scale."""
        # in two passes of float64, so that the spread of a constant is exactly 0
        centre = _mean(vectors.double() for vectors in draw_batches())
        spread = _mean((vectors.double() - centre).square() for vectors in draw_batches()).sqrt()
        self.centre.copy_(centre)
        self.scale.copy_(torch.where(spread > 0, spread, 1.0))


def build_deep(drop_rate: float = 0.0, debug: bool = False) -> VectorGanSgdma:
    """Return the untrained network for deep features: (n, 3072) means and spreads to (n, 7) logits."""
    return build(_NUM_DEEP, drop_rate, debug)


def build_voice(drop_rate: float = 0.0, debug: bool = False) -> VectorGanSgdma:
    """Return the untrained network for openSMILE's features: (n, 1582) to (n, 7) logits."""
    return build(_NUM_VOICE, drop_rate, debug)


def build(num_values: int, drop_rate: float = 0.0, debug: bool = False) -> VectorGanSgdma:
    """Return the untrained network for vectors of a length; `debug` has an eighth of the widths."""
    narrow = 8 if debug else 1
    # a group of a block's normalisation needs several values, since a vector has no pixels
    low_level, growth = _LOW_LEVEL // narrow, _GROWTH // min(narrow, 4)
    denoiser = VectorDenoiser(num_values, low_level, _LAYERS, growth)
    critic = VectorCritic(num_values, [width // narrow for width in _WIDTHS], drop_rate)
    return VectorGanSgdma(num_values, denoiser, critic)


def _connect(inputs: int, outputs: int, _: int) -> nn.Module:
    return nn.Linear(inputs, outputs)


def _mean(batches: Iterable[Tensor]) -> Tensor:
    total, count = torch.zeros(()), 0
    for batch in batches:
        total, count = total + batch.sum(0), count + len(batch)
    return total / count
