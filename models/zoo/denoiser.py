"""The denoiser of GAN-SGDMA, after SRDenseNet (Tong et al. 2017; issue 3); `gan_sgdma` says what is the paper's in it.

It lies apart from the critic of frames, which imports timm: who hears voices starts a second earlier without that.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

_NUM_BLOCKS = 8
_LAYERS, _GROWTH, _LOW_LEVEL = 2, 8, 16  # of a dense block; channels a layer adds; channels of the first convolution
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


def _groups(channels: int) -> int:
    return 4 if channels % 4 == 0 else 1
