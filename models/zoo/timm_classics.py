"""Networks that face work borrows from ImageNet, as timm has them, with seven outputs and random weights.

Each halves its maps five times, so 48 px faces are enlarged until the last map is 2x2 (Inception-v3: 1x1, at the
smallest side it takes).
"""

import timm
from timm.models.vgg import VGG, cfgs
from torch import Tensor, nn

from moodreel.schemas.labels import NUM_LABELS

_COLOURS = 3
_SHRINK = 8  # how much narrower the debug flavours are
_SHALLOW = {"layers": (1, 1, 1, 1), "channels": (8, 16, 32, 64)}  # a ResNet's debug flavour


def build_resnet34(drop_rate: float = 0.0, debug: bool = False) -> nn.Module:
    """Return ResNet34 (He et al. 2015, arXiv 1512.03385): (n, 3, h, w), h = w >= 32, to (n, 7) logits."""
    return _create("resnet34", drop_rate, **(_SHALLOW if debug else {}))


def build_resnet50(drop_rate: float = 0.0, debug: bool = False) -> nn.Module:
    """Return ResNet50 (He et al. 2015, arXiv 1512.03385): (n, 3, h, w), h = w >= 32, to (n, 7) logits."""
    return _create("resnet50", drop_rate, **(_SHALLOW if debug else {}))


def build_wide_resnet_50_2(drop_rate: float = 0.0, debug: bool = False) -> nn.Module:
    """Return Wide-ResNet-50-2 (arXiv 1605.07146): (n, 3, h, w), h = w >= 32, to (n, 7) logits."""
    return _create("wide_resnet50_2", drop_rate, **(_SHALLOW if debug else {}))


def build_vgg16(drop_rate: float = 0.0, debug: bool = False) -> nn.Module:
    """Return VGG16 with batch normalisation: (n, 3, h, w), h = w >= 32, to (n, 7) logits."""
    return _create_vgg("vgg16", drop_rate, debug)


def build_vgg19(drop_rate: float = 0.0, debug: bool = False) -> nn.Module:
    """Return VGG19 with batch normalisation: (n, 3, h, w), h = w >= 32, to (n, 7) logits."""
    return _create_vgg("vgg19", drop_rate, debug)


def build_mobilenet_v3_large(drop_rate: float = 0.0, debug: bool = False) -> nn.Module:
    """Return MobileNetV3-Large (Howard et al. 2019, arXiv 1905.02244): (n, 3, h, w), h = w >= 32, to (n, 7) logits."""
    network = _create("mobilenetv3_large_100", drop_rate)
    return _narrow(network) if debug else network


def build_inception_v3(drop_rate: float = 0.0, debug: bool = False) -> nn.Module:
    """Return Inception-v3 (Szegedy et al. 2015, arXiv 1512.00567): (n, 3, h, w), h = w >= 75, to (n, 7) logits."""
    network = _create("inception_v3", drop_rate)
    return _narrow(network) if debug else network


def build_xception(drop_rate: float = 0.0, debug: bool = False) -> nn.Module:
    """Return Xception (Chollet 2016, arXiv 1610.02357): (n, 3, h, w), h = w >= 32, to (n, 7) logits."""
    network = _create("legacy_xception", drop_rate)
    return _narrow(network) if debug else network


def _create(name: str, drop_rate: float, **changes: object) -> nn.Module:
    network: nn.Module = timm.create_model(
        name, pretrained=False, num_classes=NUM_LABELS, drop_rate=drop_rate, **changes
    )
    return network


def _create_vgg(name: str, drop_rate: float, debug: bool) -> nn.Module:
    # the deep ones of Simonyan & Zisserman 2014 (arXiv 1409.1556) had to start from shallow ones; with norms they need
    # no such start
    network: nn.Module = VGG(
        [width // _SHRINK if debug and width != "M" else width for width in cfgs[name]],
        num_classes=NUM_LABELS,
        norm_layer=nn.BatchNorm2d,
        mlp_ratio=1 / 64 if debug else 1.0,
        drop_rate=drop_rate,
    )
    return network


def _narrow(network: nn.Module) -> nn.Module:
    """Cut every width inside a network whose class has no setting for it; its inputs and outputs stay."""
    for module in network.modules():
        match module:
            case nn.Conv2d():
                module.in_channels = _share(module.in_channels, keep=_COLOURS)
                module.out_channels = _share(module.out_channels)
                module.groups = _share(module.groups, keep=1)
                _cut(module.weight, module.out_channels, module.in_channels // module.groups)
                if module.bias is not None:
                    _cut(module.bias, module.out_channels)
            case nn.BatchNorm2d():
                module.num_features = _share(module.num_features)
                for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                    assert tensor is not None
                    _cut(tensor, module.num_features)
            case nn.Linear():
                module.in_features = _share(module.in_features)
                _cut(module.weight, module.out_features, module.in_features)
    return network


def _share(width: int, keep: int | None = None) -> int:
    assert width == keep or width % _SHRINK == 0
    return width if width == keep else width // _SHRINK


def _cut(tensor: Tensor, *sizes: int) -> None:
    tensor.data = tensor.data[tuple(slice(size) for size in sizes)].clone()
