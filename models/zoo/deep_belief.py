"""The comparator DBN of the GAN-SGDMA paper: a deep belief net (Hinton, Osindero & Teh 2006).

Restricted Boltzmann machines on 48x48 grey pixels, taken as probabilities, each trained on what the one below says by
contrastive divergence with one step (CD-1, Hinton 2002). Then backpropagation fine-tunes the stack under a class layer.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from moodreel.schemas.labels import NUM_LABELS

_SIDE_PX = 48
_WIDTHS = (1000, 500, 500)
_PASSES = 10  # over the training pictures, for each layer
_RATE = 0.05  # of contrastive divergence
_START_SPREAD = 0.01  # of the first weights, small as in Hinton's practical guide (2010)


def build(drop_rate: float = 0.0, debug: bool = False) -> nn.Module:
    """Return the untrained network: (n, 3, 48, 48) float32 to (n, 7) logits; colours are averaged."""
    return _DeepBelief(drop_rate, (64, 32, 32) if debug else _WIDTHS, num_passes=2 if debug else _PASSES)


class _DeepBelief(nn.Module):
    def __init__(self, drop_rate: float, widths: tuple[int, ...], num_passes: int) -> None:
        super().__init__()
        self._num_passes = num_passes
        sizes = (_SIDE_PX**2, *widths)
        self.layers = nn.ModuleList(nn.Linear(below, above) for below, above in zip(sizes, widths, strict=False))
        for parameter in self.layers.parameters():
            nn.init.normal_(parameter, std=_START_SPREAD) if parameter.ndim == 2 else nn.init.zeros_(parameter)
        self.drop = nn.Dropout(drop_rate)
        self.classifier = nn.Linear(widths[-1], NUM_LABELS)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.drop(self._states(images, len(self.layers))))
        return logits

    @torch.no_grad()
    def pretrain(self, draw_batches: Callable[[], Iterable[Tensor]]) -> None:
        """See `Pretrainable`."""
        for depth, layer in enumerate(self.layers):
            assert isinstance(layer, nn.Linear)
            visible_bias = torch.zeros(layer.in_features, device=layer.weight.device)
            for _ in range(self._num_passes):
                for images in draw_batches():
                    _contrastive_divergence(layer, visible_bias, self._states(images, depth))

    def _states(self, images: Tensor, depth: int) -> Tensor:
        """Return the probabilities (n, width) that the units of the first `depth` layers are on; 0 gives the pixels."""
        states = ((images.mean(1) + 1) / 2).flatten(1)
        for layer in self.layers[:depth]:
            states = layer(states).sigmoid()
        return states


def _contrastive_divergence(layer: nn.Linear, visible_bias: Tensor, data: Tensor) -> None:
    """Move a machine's weights and both biases by one step of CD-1."""
    hidden: Tensor = layer(data).sigmoid()
    dreamt: Tensor = (hidden.bernoulli() @ layer.weight + visible_bias).sigmoid()
    dreamt_hidden: Tensor = layer(dreamt).sigmoid()
    rate = _RATE / len(data)
    layer.weight.add_(hidden.T @ data - dreamt_hidden.T @ dreamt, alpha=rate)
    layer.bias.add_((hidden - dreamt_hidden).sum(0), alpha=rate)
    visible_bias.add_((data - dreamt).sum(0), alpha=rate)
