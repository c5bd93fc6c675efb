import pytest
import torch
from torch import nn

from moodreel.models.features import FeatureReader, num_features
from moodreel.models.networks import build_network


def test_the_features_are_those_that_timm_pools() -> None:
    torch.manual_seed(0)
    network = build_network("inception-resnet-v2", debug=True).eval()
    images = torch.rand(3, 3, 75, 75)
    with torch.inference_mode():
        pooled = network.forward_head(network.forward_features(images), pre_logits=True)
        expected = network(images)
        logits, features = FeatureReader(network)(images)
    assert features.shape == (3, 1536)
    torch.testing.assert_close(features, pooled)
    torch.testing.assert_close(logits, expected)


@pytest.mark.parametrize(("name", "count"), [("inception-resnet-v2", 1536), ("small-vgg", 256), ("debug-cnn", 32)])
def test_the_number_of_features_is_read_off_the_network(name: str, count: int) -> None:
    assert num_features(build_network(name)) == count


def test_a_network_without_a_dense_layer_at_its_end_has_no_features() -> None:
    network = nn.Sequential(nn.Conv2d(3, 7, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert num_features(network) is None
    [logits] = FeatureReader(network)(torch.rand(2, 3, 8, 8))
    assert logits.shape == (2, 7)
