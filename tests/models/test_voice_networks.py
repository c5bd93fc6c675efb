import numpy as np
import pytest
import torch
from torch import Tensor, nn

from moodreel.models.networks import build_network
from moodreel.models.zoo.gan_sgdma_vectors import VectorGanSgdma, build_voice
from moodreel.models.zoo.ser_cnn import SerCnn, build, marginal
from moodreel.schemas.labels import NUM_LABELS


def coefficients(count: int, length: int = 157) -> Tensor:
    """As large and as different as MFCCs are."""
    scales = torch.tensor([200.0] + [40.0] * 12)[:, None]
    return torch.randn(count, 13, length, generator=torch.Generator().manual_seed(1)) * scales


def small(drop_rate: float = 0.0) -> SerCnn:
    torch.manual_seed(0)
    return build(drop_rate, debug=True)


def test_batches_of_none_one_and_three_are_taken() -> None:
    network = small().eval()
    with torch.inference_mode():
        together = network(coefficients(3))
        assert network(coefficients(3)[:0]).shape == (0, NUM_LABELS)
        alone = network(coefficients(3)[:1])
    assert together.shape == (3, NUM_LABELS) and torch.isfinite(together).all()
    torch.testing.assert_close(alone, together[:1], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(together[0], together[1])


@pytest.mark.parametrize("count", [1, 3])
def test_training_gives_sex_and_expression_and_measuring_their_margins(count: int) -> None:
    network = small()
    assert network.train()(coefficients(count)).shape == (count, 2 * NUM_LABELS)
    joint: list[Tensor] = []
    network.head.register_forward_hook(lambda _, __, out: joint.append(out))
    with torch.inference_mode():
        found = network.eval()(coefficients(count))
    torch.testing.assert_close(found, marginal(joint[0]))


def test_the_margins_are_sums_over_both_sexes() -> None:
    joint = torch.randn(5, 14, generator=torch.Generator().manual_seed(2)) * 3
    values = joint.double().numpy()
    by_hand = np.log(np.exp(values[:, :7]) + np.exp(values[:, 7:]))
    np.testing.assert_allclose(marginal(joint).numpy(), by_hand, rtol=1e-5, atol=1e-6)
    shares = joint.softmax(1)
    torch.testing.assert_close(marginal(joint).softmax(1), shares[:, :7] + shares[:, 7:])
    assert marginal(joint[:0]).shape == (0, 7)


def test_the_margins_of_huge_and_of_half_precise_logits_are_finite() -> None:
    huge = torch.zeros(1, 14)
    huge[0, 7 + 3] = 1e4
    assert marginal(huge)[0, 3] == 1e4 and torch.isfinite(marginal(huge)).all()
    assert marginal(huge.bfloat16()).dtype == torch.float32


def test_the_size_of_the_coefficients_is_learnt() -> None:
    network = small().train()
    with torch.no_grad():
        torch.testing.assert_close(network(coefficients(3) * 100 + 50), network(coefficients(3)), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("length", [1, 8, 101, 600])
def test_stretches_may_have_any_length(length: int) -> None:
    with torch.inference_mode():
        assert small().eval()(coefficients(2, length)).shape == (2, NUM_LABELS)


def test_the_drop_rate_reaches_the_network() -> None:
    network = small(0.5).train()
    with torch.no_grad():
        assert not torch.equal(network(coefficients(3)), network(coefficients(3)))
        network.eval()
        assert torch.equal(network(coefficients(3)), network(coefficients(3)))


def test_the_class_layer_is_declared_last() -> None:
    network = build_network("ser-cnn", debug=True)
    assert isinstance(network, SerCnn)
    assert [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1] is network.head
    assert list(network.state_dict(keep_vars=True).values())[-1] is network.head.bias


def test_the_debug_flavour_is_small_and_of_the_same_plan() -> None:
    with torch.device("meta"):  # counts need no memory
        whole = build_network("ser-cnn")
    widths = [layer.out_features for layer in whole.modules() if isinstance(layer, nn.Linear)]
    assert widths == [4096, 4096, 1024, 14]
    channels = [layer.out_channels for layer in whole.modules() if isinstance(layer, nn.Conv1d)]
    assert channels == [256] * 2 + [128] * 4 + [64] * 2
    assert whole.state_dict().keys() == small().state_dict().keys()
    assert sum(tensor.numel() for tensor in small().parameters()) < 1_000_000


def test_the_voice_flavour_of_gan_sgdma_takes_opensmiles_features() -> None:
    torch.manual_seed(0)
    network = build_voice(debug=True).eval()
    registered = build_network("gan-sgdma-voice", debug=True)
    assert isinstance(registered, VectorGanSgdma)
    assert registered.state_dict().keys() == network.state_dict().keys()
    with torch.inference_mode():
        assert network(torch.rand(3, 1582)).shape == (3, NUM_LABELS)
        assert network(torch.rand(0, 1582)).shape == (0, NUM_LABELS)
        with pytest.raises(ValueError, match=r"expected vectors \(n, 1582\), got \(2, 3072\)"):
            network(torch.rand(2, 3072))
    dropping = build_voice(0.5, debug=True).train()
    assert not torch.equal(dropping(torch.ones(2, 1582)), dropping(torch.ones(2, 1582)))
