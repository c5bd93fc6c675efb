"""GAN-SGDMA for frames: a denoiser, and a critic whose trunk also classifies (issue 3; the source paper's own network).

The denoiser follows SRDenseNet (Tong et al. 2017), the critic SRGAN (Ledig et al. 2016, arXiv 1609.04802) with layer
normalisation instead of batch normalisation, since the gradient penalty is a matter of single pictures (Gulrajani et
al. 2017, arXiv 1704.00028). The structure is the paper's; the widths are chosen so that two cores can train it.
"""

from collections.abc import Callable, Sequence

import torch
from timm.layers import StdConv2d
from torch import Tensor, nn

from moodreel.schemas.labels import NUM_LABELS

_NUM_BLOCKS = 8
_LAYERS, _GROWTH, _LOW_LEVEL = 2, 8, 16  # of a dense block; channels a layer adds; channels of the first convolution
_WIDTHS = (16, 40, 80, 80, 160, 160, 320, 320)  # of the critic's eight convolutions, every second one halves the map
_DENSE = 512  # outputs of the first fully connected layer
Connect = Callable[[int, int, int], nn.Module]  # a layer of so many inputs, outputs and pixels across


def convolve(inputs: int, outputs: int, kernel_px: int) -> nn.Module:
    """Return a convolution that keeps the map's size."""
    return nn.Conv2d(inputs, outputs, kernel_px, padding=kernel_px // 2)


class DenseBlock(nn.Module):
    """Layers of convolution, group normalisation and ReLU, each fed by all before it."""

    def __init__(self, channels: int, num_layers: int, growth: int, connect: Connect = convolve) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(connect(channels + i * growth, growth, 3), nn.GroupNorm(_groups(growth), growth), nn.ReLU())
            for i in range(num_layers)
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return what the layers added: (n, c, h, w) to (n, num_layers * growth, h, w)."""
        found = [maps]
        for layer in self.layers:
            found.append(layer(torch.cat(found, 1)))
        return torch.cat(found[1:], 1)


class Denoiser(nn.Module):
    """The generator: (n, 1, h, w) noisy pixels in -1..1 to the same picture without noise.

    The layers give what is to be added to the picture (Zhang et al. 2017, arXiv 1608.03981), nothing at first: the
    detail of a picture with little noise need not pass the bottleneck.
    """

    def __init__(
        self,
        low_level: int = _LOW_LEVEL,
        num_layers: int = _LAYERS,
        growth: int = _GROWTH,
        num_values: int = 1,
        connect: Connect = convolve,
    ) -> None:
        super().__init__()
        self.plan = low_level, num_layers, growth
        self.low_level = connect(num_values, low_level, 3)
        added = num_layers * growth
        self.blocks = nn.ModuleList(
            DenseBlock(low_level if i == 0 else added, num_layers, growth, connect) for i in range(_NUM_BLOCKS)
        )
        self.bottleneck = connect(low_level + _NUM_BLOCKS * added, low_level, 1)
        self.last = connect(low_level, num_values, 3)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, pixels: Tensor) -> Tensor:
        """Denoise."""
        result: Tensor = pixels + self.last(self.summarise(pixels))
        return result

    def summarise(self, pixels: Tensor) -> Tensor:
        """Return what the last layer reads; every block's output is handed to the bottleneck by a skip connection."""
        maps = self.low_level(pixels)
        found = [maps]
        for block in self.blocks:
            maps = block(maps)
            found.append(maps)
        return torch.relu(self.bottleneck(torch.cat(found, 1)))


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
        return (
            f"The denoiser has {low_level} channels and {_NUM_BLOCKS} dense blocks of {num_layers} layers that add "
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


def _groups(channels: int) -> int:
    return 4 if channels % 4 == 0 else 1
