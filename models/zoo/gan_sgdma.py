"""GAN-SGDMA for frames: a denoiser, and a critic whose trunk also classifies (issue 3; the source paper's own network).

The critic follows SRGAN (Ledig et al. 2016, arXiv 1609.04802) with layer normalisation instead of batch normalisation,
since the gradient penalty is a matter of single pictures (Gulrajani et al. 2017, arXiv 1704.00028). The structure is
the paper's; the widths are chosen so that two cores can train it.
"""

from collections.abc import Sequence

from timm.layers import StdConv2d
from torch import Tensor, nn

from moodreel.models.zoo.denoiser import Denoiser
from moodreel.schemas.labels import NUM_LABELS

_WIDTHS = (16, 40, 80, 80, 160, 160, 320, 320)  # of the critic's eight convolutions, every second one halves the map
_DENSE = 512  # outputs of the first fully connected layer


class Critic(nn.Module):
    """(n, 1, 48, 48) pixels to a score without bounds (n,), higher for clean faces, and to seven logits (n, 7)."""

    def __init__(self, widths: Sequence[int] = _WIDTHS, dense: int = _DENSE, drop_rate: float = 0.0) -> None:
        super().__init__()
        self.plan = tuple(widths), dense
        layers: list[nn.Module] = []
        channels = 1
        for i, width in enumerate(widths):
            layers += [
                # with layer normalisation alone the class loss hardly falls; standardised kernels (Qiao et al. 2019,
                # arXiv 1903.10520) bring it near batch normalisation
                StdConv2d(channels, width, 3, stride=1 + i % 2, padding=1, bias=True),
                nn.GroupNorm(1, width),  # one group: normalised over the whole layer
                nn.LeakyReLU(0.2),
            ]
            channels = width
        self.trunk = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(3), nn.Flatten())
        self.dense = nn.Sequential(nn.Linear(9 * channels, dense), nn.LeakyReLU(0.2))
        self.score = nn.Linear(dense, 1)
        class_layer = nn.Linear(dense, NUM_LABELS)
        self.classes = nn.Sequential(nn.Dropout(drop_rate), class_layer)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight, 0.2)
                nn.init.zeros_(module.bias)
        for layer in (self.score, class_layer):  # all alike at first, and no steep slope for the penalty to fight
            nn.init.normal_(layer.weight, std=0.01)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Judge and classify."""
        found = self.dense(self.trunk(pixels))
        return self.score(found).squeeze(1), self.classes(found)


class GanSgdma(nn.Module):
    """Denoise, then classify: (n, 3, h, w) grey pixels in -1..1, the same in all channels, to (n, 7) logits."""

    def __init__(self, denoiser: Denoiser, critic: Critic) -> None:
        super().__init__()
        self.denoiser, self.critic = denoiser, critic

    def forward(self, pixels: Tensor) -> Tensor:
        """Classify the denoised pictures."""
        logits: Tensor = self.critic(self.denoiser(self.examples(pixels)))[1]
        return logits

    @property
    def structure(self) -> str:
        """See `Described`: the widths, which the paper leaves open."""
        low_level, num_layers, growth = self.denoiser.plan
        widths, dense = self.critic.plan
        num_blocks = len(self.denoiser.blocks)
        return (
            f"The denoiser has {low_level} channels and {num_blocks} dense blocks of {num_layers} layers that add "
            f"{growth} channels each; the critic's convolutions have {', '.join(map(str, widths[:-1]))} and "
            f"{widths[-1]} filters with standardised kernels, its first dense layer {dense} outputs."
        )

    @staticmethod
    def examples(pixels: Tensor) -> Tensor:
        """Return what denoiser and critic see of a batch: one channel."""
        return pixels[:, :1]


def build(drop_rate: float = 0.0, debug: bool = False) -> GanSgdma:
    """Return the untrained network; `debug` has 4 low-level channels and an eighth of the critic's filters."""
    if debug:
        return GanSgdma(Denoiser(4, 2, 2), Critic([width // 8 for width in _WIDTHS], 32, drop_rate))
    return GanSgdma(Denoiser(), Critic(drop_rate=drop_rate))
