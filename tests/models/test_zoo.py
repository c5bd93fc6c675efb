import numpy as np
import pytest
import torch
from clips import portrait
from facenet_pytorch import MTCNN
from PIL import Image
from torch import nn

from moodreel.models.networks import build_network
from moodreel.models.zoo.region_cnn import propose_regions
from moodreel.schemas.labels import NUM_LABELS

# the smallest side that each docstring allows
SMALLEST_PX = {
    "inception-resnet-v2": 75, "small-vgg": 16, "medium-vgg": 16, "baseline-residual": 16, "plain-cnn": 46,
    "mobilenet-v3-large": 32, "resnet34": 32, "resnet50": 32, "wide-resnet-50-2": 32, "vgg16": 32, "vgg19": 32,
    "inception-v3": 75, "xception": 32, "cnn": 16, "r-cnn": 32, "lstm": 48, "rnn": 48, "dbn": 48,
}  # fmt: skip


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("name", SMALLEST_PX)
def test_every_network_takes_batches_of_none_one_and_three(name: str) -> None:
    torch.manual_seed(0)
    network = build_network(name, debug=True).eval()
    images = torch.rand(3, 3, SMALLEST_PX[name], SMALLEST_PX[name]) * 2 - 1
    with torch.inference_mode():
        together = network(images)
        assert network(images[:0]).shape == (0, NUM_LABELS)
        alone = network(images[:1])
    assert together.shape == (3, NUM_LABELS) and torch.isfinite(together).all()
    torch.testing.assert_close(alone, together[:1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", SMALLEST_PX)
def test_the_class_layer_is_declared_last(name: str) -> None:
    # frozen epochs, --init with other labels and the shipped features look for it there
    network = build_network(name, debug=True)
    layer = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    assert layer.out_features == NUM_LABELS
    state = network.state_dict()
    assert state[list(state)[-1]].shape == (NUM_LABELS,)
    assert network.state_dict(keep_vars=True)[list(state)[-1]] is layer.bias


@pytest.mark.parametrize("name", SMALLEST_PX)
def test_the_drop_rate_reaches_the_network(name: str) -> None:
    torch.manual_seed(0)
    images = torch.rand(3, 3, SMALLEST_PX[name], SMALLEST_PX[name])
    network = build_network(name, 0.5, debug=True).train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()  # its running statistics would change the output as well
    with torch.no_grad():
        assert not torch.equal(network(images), network(images))
        network.eval()
        assert torch.equal(network(images), network(images))


@pytest.mark.parametrize(
    ("name", "with_1000_classes", "width"),
    [  # torchvision's documentation has the first figure; the class layer is (width + 1) * 1000 of it
        ("resnet34", 21_797_672, 512),
        ("resnet50", 25_557_032, 2048),
        ("wide-resnet-50-2", 68_883_240, 2048),
        ("mobilenet-v3-large", 5_483_032, 1280),
        ("vgg16", 138_365_992, 4096),
        ("vgg19", 143_678_248, 4096),
        ("xception", 22_855_952, 2048),  # timm's documentation, rounded there to 22.9 M
        ("inception-v3", 23_834_568, 2048),  # the same, 23.8 M; torchvision's has an auxiliary head besides
    ],
)
def test_published_networks_have_their_published_size(name: str, with_1000_classes: int, width: int) -> None:
    with torch.device("meta"):  # counts need no memory
        network = build_network(name)
    assert count(network) == with_1000_classes - (width + 1) * (1000 - NUM_LABELS)


def test_the_baseline_has_1672775_parameters_as_keras_counts_them() -> None:
    network = build_network("baseline-residual")
    running = sum(buffer.numel() for buffer in network.buffers() if buffer.ndim)  # torch counts batches besides
    assert (count(network), running, count(network) + running) == (1_668_615, 4_160, 1_672_775)


# Inception-ResNet-v2 keeps its 1536 features at debug size
@pytest.mark.parametrize("name", sorted(SMALLEST_PX.keys() - {"small-vgg", "inception-resnet-v2"}))
def test_debug_flavours_are_small(name: str) -> None:
    assert count(build_network(name, debug=True)) < 1_000_000


def test_the_landmarks_inside_the_r_cnn_are_those_of_mtcnn() -> None:
    picture = Image.fromarray(portrait())
    boxes, _, landmarks = MTCNN(keep_all=False).detect(picture, landmarks=True)
    x0, y0, x1, y1 = boxes[0]
    half, centre = max(x1 - x0, y1 - y0) / 2, np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    corner = centre - half
    face = picture.crop((*corner, *(centre + half))).resize((48, 48), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.asarray(face).copy()).permute(2, 0, 1).unsqueeze(0).float() / 127.5 - 1

    found = build_network("r-cnn", debug=True).eval().locator(pixels)
    expected = torch.from_numpy((landmarks[0].astype(np.float32) - corner) / (2 * half)).float()
    torch.testing.assert_close(found[0], expected, atol=0.03, rtol=0)

    eyes, nose, mouth = propose_regions(found)[0]
    for box, points in ((eyes, found[0, :2]), (nose, found[0, 2:3]), (mouth, found[0, 3:])):
        assert ((box[:2] < points) & (points < box[2:])).all()


def test_the_r_cnn_neither_trains_nor_stores_its_landmark_network() -> None:
    network = build_network("r-cnn", debug=True)
    assert not any("locator" in name for name in network.state_dict())
    assert not any("locator" in name for name, _ in network.named_parameters())
    assert sum(buffer.numel() for buffer in network.buffers()) == 389_040  # MTCNN's last stage
    other = build_network("r-cnn", debug=True)
    other.load_state_dict(network.state_dict())
    images = torch.rand(2, 3, 48, 48)
    with torch.inference_mode():
        assert torch.equal(network.eval()(images), other.eval()(images))


def test_regions_keep_their_size_where_no_face_is() -> None:
    boxes = propose_regions(torch.full((2, 5, 2), 0.5))
    assert ((boxes[:, :, 2:] - boxes[:, :, :2]) >= 0.25 - 1e-6).all()
    assert propose_regions(torch.zeros(0, 5, 2)).shape == (0, 3, 4)
