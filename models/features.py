"""Deep features: what the dense layer that gives a network's logits reads."""

from torch import Tensor, nn

from moodreel.schemas.labels import NUM_LABELS


class FeatureReader(nn.Module):
    """A network that gives its deep features beside its logits, in one forward."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._read: list[Tensor] = []
        head = find_head(network)
        if head is not None:
            head.register_forward_pre_hook(lambda layer, inputs: self._read.append(inputs[0]))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return (n, 7) logits and, if the network has them, (n, num_features) features of (n, 3, h, w) images."""
        self._read.clear()
        logits = self.network(images)
        return (logits, *self._read)


def num_features(network: nn.Module) -> int | None:
    """Return how many deep features a network has, None if it ends in no dense layer."""
    head = find_head(network)
    return None if head is None else head.in_features


def find_head(network: nn.Module) -> nn.Linear | None:
    """Return the dense layer with an output for each of LABELS, the last one if there are several."""
    dense = [layer for layer in network.modules() if isinstance(layer, nn.Linear) and layer.out_features == NUM_LABELS]
    return dense[-1] if dense else None
