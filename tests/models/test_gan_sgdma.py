from collections.abc import Iterable, Iterator

import pytest
import torch
from torch import Tensor, nn

from moodreel.models.networks import Pretrainable, build_network
from moodreel.models.zoo.gan_sgdma import GanSgdma
from moodreel.models.zoo.gan_sgdma_vectors import VectorGanSgdma, build, build_deep
from moodreel.schemas.labels import NUM_LABELS

SHAPES = {"gan-sgdma": (3, 48, 48), "gan-sgdma-deep": (3072,)}
BOTH = sorted(SHAPES)


def debug(name: str, drop_rate: float = 0.0) -> GanSgdma | VectorGanSgdma:
    torch.manual_seed(0)
    network = build_network(name, drop_rate, debug=True)
    assert isinstance(network, GanSgdma | VectorGanSgdma)
    return network


def inputs(name: str, count: int) -> Tensor:
    return torch.rand(count, *SHAPES[name], generator=torch.Generator().manual_seed(1)) * 2 - 1


def layers(network: nn.Module, kind: type[nn.Module]) -> list[nn.Module]:
    return [layer for layer in network.modules() if isinstance(layer, kind)]


def recorded(parts: Iterable[nn.Module]) -> tuple[list[Tensor], list[Tensor]]:
    """What the parts will be given and what they will make of it, in order."""
    given: list[Tensor] = []
    made: list[Tensor] = []
    for part in parts:
        part.register_forward_pre_hook(lambda _, args: given.append(args[0]))
        part.register_forward_hook(lambda _, __, out: made.append(out))
    return given, made


@pytest.mark.parametrize("name", BOTH)
def test_batches_of_none_one_and_three_are_taken(name: str) -> None:
    network = debug(name).eval()
    with torch.inference_mode():
        together = network(inputs(name, 3))
        assert network(inputs(name, 3)[:0]).shape == (0, NUM_LABELS)
        alone = network(inputs(name, 3)[:1])
    assert together.shape == (3, NUM_LABELS) and torch.isfinite(together).all()
    torch.testing.assert_close(alone, together[:1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", BOTH)
def test_the_class_layer_is_declared_last(name: str) -> None:
    network = debug(name)
    assert layers(network, nn.Linear)[-1].out_features == NUM_LABELS
    assert list(network.state_dict(keep_vars=True).values())[-1] is layers(network, nn.Linear)[-1].bias


@pytest.mark.parametrize("name", BOTH)
def test_the_drop_rate_reaches_the_network(name: str) -> None:
    network = debug(name, 0.5).train()
    with torch.no_grad():
        assert not torch.equal(network(inputs(name, 3)), network(inputs(name, 3)))
        network.eval()
        assert torch.equal(network(inputs(name, 3)), network(inputs(name, 3)))


@pytest.mark.parametrize("name", BOTH)
def test_the_debug_flavour_is_small_and_of_the_same_plan(name: str) -> None:
    whole, small = build_network(name), debug(name)
    assert sum(tensor.numel() for tensor in small.parameters()) < 1_000_000
    assert whole.state_dict().keys() == small.state_dict().keys()


@pytest.mark.parametrize("name", BOTH)
def test_what_is_classified_is_the_denoised_example(name: str) -> None:
    network = debug(name).eval()
    for parameter in network.denoiser.last.parameters():  # untrained, that of pictures adds nothing
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        examples = network.examples(inputs(name, 3))
        denoised = network.denoiser(examples)
        assert denoised.shape == examples.shape
        assert torch.equal(network(inputs(name, 3)), network.critic(denoised)[1])
        assert not torch.allclose(network(inputs(name, 3)), network.critic(examples)[1])


@pytest.mark.parametrize("name", BOTH)
def test_every_layer_of_a_block_is_fed_by_all_before_it(name: str) -> None:
    for block in debug(name).denoiser.blocks:
        assert all([type(part) for part in layer[1:]] == [nn.GroupNorm, nn.ReLU] for layer in block.layers)
        given, made = recorded(block.layers)
        first = block.layers[0][0]
        channels = first.in_channels if isinstance(first, nn.Conv2d) else first.in_features
        start = torch.rand(2, channels, *(4, 4)[: 2 * (name == "gan-sgdma")])
        found = block(start)
        assert len(given) == 2
        for i, fed in enumerate(given):
            assert torch.equal(fed, torch.cat([start, *made[:i]], 1))
        assert torch.equal(found, torch.cat(made, 1))


@pytest.mark.parametrize("name", BOTH)
def test_the_bottleneck_is_fed_by_the_first_layer_and_all_eight_blocks(name: str) -> None:
    network = debug(name)
    denoiser = network.denoiser
    assert len(denoiser.blocks) == 8
    _, made = recorded((denoiser.low_level, *denoiser.blocks))
    fed, _ = recorded((denoiser.bottleneck,))
    denoiser(network.examples(inputs(name, 2)))
    assert torch.equal(fed[0], torch.cat(made, 1))


def test_the_denoiser_of_frames_has_the_papers_convolutions() -> None:
    denoiser = debug("gan-sgdma").denoiser
    kernels = {part: getattr(denoiser, part).kernel_size for part in ("low_level", "bottleneck", "last")}
    assert kernels == {"low_level": (3, 3), "bottleneck": (1, 1), "last": (3, 3)}
    assert all(layer.kernel_size == (3, 3) for layer in layers(denoiser.blocks, nn.Conv2d))


def test_the_critic_of_frames_has_eight_convolutions_and_two_dense_layers_up_to_its_score() -> None:
    critic = debug("gan-sgdma").critic
    convolutions = layers(critic, nn.Conv2d)
    assert [layer.kernel_size for layer in convolutions] == [(3, 3)] * 8
    used: list[nn.Module] = []
    for layer in layers(critic, nn.Linear):
        layer.register_forward_hook(lambda module, _, __: used.append(module))
    [slope] = torch.autograd.grad(critic(torch.rand(1, 1, 48, 48))[0].sum(), critic.dense[0].weight)
    assert slope.abs().sum() > 0  # the score is read off the first dense layer
    assert used == [critic.dense[0], critic.score, critic.classes[-1]]


@pytest.mark.parametrize("name", BOTH)
def test_the_critic_normalises_each_example_by_itself_and_leaks_a_fifth(name: str) -> None:
    critic = debug(name).critic
    norms = [*layers(critic, nn.GroupNorm), *layers(critic, nn.LayerNorm)]
    assert len(norms) == {"gan-sgdma": 8, "gan-sgdma-deep": 3}[name]
    assert all(getattr(norm, "num_groups", 1) == 1 for norm in norms)
    assert {layer.negative_slope for layer in layers(critic, nn.LeakyReLU)} == {0.2}


@pytest.mark.parametrize("name", BOTH)
def test_there_is_no_batch_normalisation_and_no_sigmoid(name: str) -> None:
    network = debug(name)
    assert not layers(network, nn.modules.batchnorm._BatchNorm) and not layers(network, nn.Sigmoid)
    score = network.critic.score
    with torch.no_grad():
        examples = network.examples(inputs(name, 3))
        before = network.critic(examples)[0]
        score.weight *= 1000
        score.bias *= 1000
        torch.testing.assert_close(network.critic(examples)[0], 1000 * before)  # nothing comes after the dense layer


def test_frames_are_grey() -> None:
    network = debug("gan-sgdma").eval()
    pictures = inputs("gan-sgdma", 2)
    with torch.inference_mode():
        assert torch.equal(network(pictures), network(pictures[:, :1].expand(-1, 3, -1, -1)))


def test_vectors_may_have_any_length_but_one_at_a_time() -> None:
    voice = build(1582, debug=True)
    assert voice(torch.rand(2, 1582)).shape == (2, NUM_LABELS)
    assert build_deep(debug=True)(torch.rand(2, 3072)).shape == (2, NUM_LABELS)
    for strange in (torch.rand(2, 1581), torch.rand(2, 3, 48, 48)):
        with pytest.raises(ValueError, match=r"expected vectors \(n, 1582\), got \(2, "):
            voice(strange)


def test_vectors_are_standardised_by_what_the_training_vectors_are() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(100, 6, generator=generator) * torch.tensor([1e-3, 1, 1e3, 0, 0, 5]) + 1e3
    vectors[:, 4] = 0.3  # a constant that float32 and float64 write differently
    network = build(6, debug=True)
    assert isinstance(network, Pretrainable)

    def batches() -> Iterator[Tensor]:
        yield from vectors.split(32)

    network.pretrain(batches)
    torch.testing.assert_close(network.centre, vectors.double().mean(0).float())
    spread = vectors.double().std(0, correction=0).float()
    spread[3:5] = 1
    torch.testing.assert_close(network.scale, spread)
    examples = network.examples(vectors)
    assert torch.equal(examples[:, 3:5], torch.zeros(100, 2))
    kept = build(6, debug=True)
    kept.load_state_dict(network.state_dict())
    assert torch.equal(kept.examples(vectors), examples)
