"""The adversarial loop, on faces and on vectors alike."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stripes import are_equal, stripes
from torch import Tensor

from moodreel.schemas.training import Adversarial, TrainingConfig
from moodreel.tasks.learning.adversarial import AdversarialNetwork, AdversarialObjective, add_noise, gradient_penalty
from moodreel.tasks.learning.examples import Examples, FaceExamples, VectorExamples
from moodreel.tasks.learning.recipes import RECIPES
from moodreel.tasks.learning.train import Trained, build_objective, train_classifier

SMALL = {"is_debug": True, "num_epochs": 2, "batch_size": 8, "distillation": None, "deep": None, "precision": "fp32"}
CONFIGS = {
    kind: TrainingConfig.model_validate(RECIPES[name]().model_dump() | SMALL)
    for kind, name in (("faces", "gan-sgdma"), ("vectors", "gan-sgdma-deep"))
}
# another value of each term; the outcome has to differ
CHANGES: dict[str, Any] = {
    "noise_sigmas": (0.1, 0.2),
    "judgement_weight": 1.0,
    "critic_weight": 0.1,
    "gradient_penalty": 1.0,
    "share": 0.75,
    "denoiser_rate_factor": 0.5,
    "denoise_all": True,
}


def vectors(count: int = 56) -> VectorExamples:
    """Seven clouds in a few of the directions that 3072 values have."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 7
    points = rng.normal(size=(7, 10))[labels] + 0.1 * rng.normal(size=(count, 10))
    values = (points @ rng.normal(size=(10, 3072)) + 5).astype(np.float32)
    return VectorExamples(values, labels, torch.eye(7)[labels])


def examples_of(kind: str, config: TrainingConfig) -> Examples:
    return FaceExamples(stripes(24), config) if kind == "faces" else vectors()


def trained(out: Path, kind: str, config: TrainingConfig, **options: Any) -> Trained:
    torch.set_num_threads(1)
    examples = examples_of(kind, config)
    return train_classifier(config, examples, examples, out, **options)


def objective_for(kind: str, **changes: object) -> tuple[AdversarialObjective, AdversarialNetwork]:
    torch.set_num_threads(1)
    config = CONFIGS[kind].model_copy(update=changes)
    objective = build_objective(config, examples_of(kind, config), None)
    assert isinstance(objective, AdversarialObjective)
    objective.begin_epoch(is_frozen=False)
    return objective, objective.network  # type: ignore[return-value]  # nn.Module hides its parts' types


def linear(weights: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda points: points.flatten(1) @ weights.flatten()


@pytest.mark.parametrize("shape", [(12,), (1, 3, 4)])
def test_the_penalty_of_a_linear_critic_is_that_of_its_slope(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    real, fake = torch.randn(2, 5, *shape, generator=generator)
    weights = torch.randn(shape, generator=generator)
    for length in (0.5, 1.0, 3.0):
        critic = linear(length * weights / weights.norm())
        assert gradient_penalty(critic, real, fake).item() == pytest.approx((length - 1) ** 2, abs=1e-5)


def test_the_penalty_is_the_mean_over_examples() -> None:
    slopes = torch.tensor([[2.0], [4.0]])
    points = torch.zeros(2, 1)
    penalty = gradient_penalty(lambda mixed: (slopes * mixed).sum(1), points, points)
    assert penalty.item() == pytest.approx((1 + 9) / 2)


def test_the_penalty_teaches_the_critic() -> None:
    weights = torch.tensor([3.0, 4.0], requires_grad=True)
    points = torch.zeros(6, 2)
    gradient_penalty(linear(weights), points, points).backward()  # type: ignore[no-untyped-call]  # torch types it so
    assert weights.grad is not None
    torch.testing.assert_close(weights.grad, 2 * (5 - 1) * weights.detach() / 5)


def test_the_penalty_looks_between_each_pair_at_a_place_of_its_own() -> None:
    seen: list[Tensor] = []

    def critic(points: Tensor) -> Tensor:
        seen.append(points.detach())
        return points.sum(1)

    real, fake = torch.zeros(500, 2), torch.tensor([[1.0, 10.0]]).repeat(500, 1)
    torch.manual_seed(0)
    gradient_penalty(critic, real, fake)
    share = seen[0][:, 0]
    torch.testing.assert_close(seen[0][:, 1], 10 * share)
    assert 0 <= share.min() < 0.02 and 0.98 < share.max() <= 1
    assert share.mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("shape", [(400,), (1, 20, 20)])
def test_each_example_gets_noise_of_one_of_the_levels(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    clean = torch.full((900, *shape), 0.5)
    sigmas = torch.tensor([0.1, 0.2, 0.4])
    noise = (add_noise(clean, sigmas) - clean).flatten(1)
    ratio = noise.std(1)[:, None] / sigmas
    level = (ratio - 1).abs().argmin(1)
    assert ((ratio - 1).abs().min(1).values < 0.2).all()
    for number in range(3):
        own = noise[level == number]
        assert len(own) == pytest.approx(300, abs=60)
        assert own.std().item() == pytest.approx(sigmas[number].item(), rel=0.01)
        assert own.mean().item() == pytest.approx(0, abs=0.005)


def test_the_critic_learns_to_score_real_examples_above_denoised_ones() -> None:
    # the denoiser stays bad: it leaves all the noise in
    terms = Adversarial(noise_sigmas=(0.5,), share=1.0, judgement_weight=1.0, denoiser_rate_factor=1e-9)
    objective, parts = objective_for("faces", adversarial=terms, weight_decay=0.0)
    examples = smooth_faces()
    generator = torch.Generator().manual_seed(0)

    def lead() -> float:
        with torch.no_grad():
            real = parts.examples(examples.plain(slice(None)))
            fake = parts.denoiser(add_noise(real, torch.tensor(terms.noise_sigmas)))
            return float((parts.critic(real)[0] - parts.critic(fake)[0]).mean())

    before = lead()
    distances = [objective.step(examples.draw(torch.arange(14), generator), 0.01)["critic"] for _ in range(60)]
    assert lead() > before + 0.5 and lead() > 0
    assert distances[-1] < distances[0] - 0.5  # the loss is that of fake minus real


@pytest.mark.parametrize("kind", sorted(CONFIGS))
def test_the_denoiser_removes_noise_within_sixty_steps(kind: str) -> None:
    terms = Adversarial(noise_sigmas=(0.5,), share=1.0)
    objective, parts = objective_for(kind, adversarial=terms)
    examples = smooth_faces() if kind == "faces" else vectors()
    generator = torch.Generator().manual_seed(0)
    if kind == "vectors":
        objective.network.pretrain(lambda: [examples.plain(slice(None))])  # type: ignore[operator]  # a method of vector networks
    for _ in range(60):
        chosen = torch.randperm(len(examples.labels), generator=generator)[:8]
        losses = objective.step(examples.draw(chosen, generator), 0.05)
    assert all(np.isfinite(list(losses.values())))
    with torch.no_grad():
        clean = parts.examples(examples.plain(slice(None)))
        noisy = add_noise(clean, torch.tensor([0.5]))
        error, noise = ((each - clean).square().mean() for each in (parts.denoiser(noisy), noisy))
    assert error < 0.5 * noise


def smooth_faces() -> VectorExamples:
    """Pictures without noise of their own: a light that falls from one of seven sides."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1:1:24j, -1:1:24j]
    labels = np.arange(56) % 7
    angles = labels * 2 * np.pi / 7 + rng.normal(0, 0.1, 56)
    light = np.cos(angles)[:, None, None] * x + np.sin(angles)[:, None, None] * y
    pixels = np.broadcast_to(0.6 * light[:, None], (56, 3, 24, 24)).astype(np.float32)
    return VectorExamples(pixels, labels, torch.eye(7)[labels])


def test_the_loop_learns_classes_of_vectors(tmp_path: Path) -> None:
    config = CONFIGS["vectors"].model_copy(update={"num_epochs": 16})
    history = trained(tmp_path, "vectors", config).history
    assert history[-1].accuracy > 0.9
    assert history[-1].losses["class"] < 0.5 * history[0].losses["class"]
    assert set(history[0].losses) == {"class", "critic", "penalty", "denoising"}


def test_every_term_is_tried() -> None:
    assert set(CHANGES) == set(Adversarial.model_fields)


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_every_term_changes_the_outcome(tmp_path: Path, name: str) -> None:
    config = CONFIGS["vectors"].model_copy(update={"num_epochs": 1})
    assert config.adversarial
    changed = config.model_copy(update={"adversarial": config.adversarial.model_copy(update={name: CHANGES[name]})})
    one, same, other = (
        trained(tmp_path / run, "vectors", each) for run, each in (("a", config), ("b", config), ("c", changed))
    )
    assert are_equal(one.network, same.network)  # else any change would prove nothing
    assert not are_equal(one.network, other.network)


def test_share_is_the_part_of_a_batch_that_the_denoiser_learns_from_but_at_least_one() -> None:
    for share, count in ((1.0, 8), (0.5, 4), (0.01, 1)):
        objective, parts = objective_for("vectors", adversarial=Adversarial(share=share))
        seen: list[int] = []
        parts.denoiser.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(len(args[0])))
        objective.step(vectors().draw(torch.arange(8), torch.Generator()), 0.01)
        assert seen == [count, count]  # for the critic and for itself


@pytest.mark.parametrize("denoise_all", [False, True])
def test_real_examples_are_never_mixed_pairs_and_the_others_come_as_asked(denoise_all: bool) -> None:
    objective, parts = objective_for("vectors", adversarial=Adversarial(share=0.5, denoise_all=denoise_all))
    drawn = vectors().draw(torch.arange(8), torch.Generator())
    mixed = drawn.mixed(0.5, torch.Generator().manual_seed(0))
    assert not torch.equal(mixed.inputs[4:], drawn.inputs[4:])
    with torch.no_grad():
        real, others = parts.examples(drawn.inputs)[:4], parts.examples(mixed.inputs)[4:]
        denoised = parts.denoiser(others)
        assert (denoised - others).abs().max() > 0.01
    seen: list[Tensor] = []
    parts.critic.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    objective.step(mixed, 0.01)
    torch.testing.assert_close(seen[0][:4], real)
    torch.testing.assert_close(seen[0][4:8], denoised if denoise_all else others)
    assert len(seen[0]) == 12  # and the real ones again, noise added and taken off


def test_the_denoisers_rate_is_a_multiple_of_the_critics() -> None:
    objective, _ = objective_for("vectors", adversarial=Adversarial(denoiser_rate_factor=0.25))
    objective.step(vectors().draw(torch.arange(8), torch.Generator()), 0.04)
    rates = {part: objective.state()[f"{part}_optimizer"]["param_groups"][0]["lr"] for part in ("critic", "denoiser")}
    assert rates == {"critic": 0.04, "denoiser": pytest.approx(0.01)}


def test_a_step_moves_both_parts_and_not_what_standardises() -> None:
    objective, _ = objective_for("vectors", weight_decay=0.0)
    batch = vectors().draw(torch.arange(8), torch.Generator())
    before = {name: tensor.clone() for name, tensor in objective.network.state_dict().items()}
    objective.step(batch, 0.01)
    moved = {name for name, tensor in objective.network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {name.split(".")[0] for name in moved} == {"critic", "denoiser"}


@pytest.mark.parametrize("name", ["gan-sgdma", "gan-sgdma-deep", "gan-sgdma-deep-window"])
def test_both_parts_learn_by_plain_momentum(name: str) -> None:
    config = RECIPES[name]().model_copy(update={"is_debug": True, "distillation": None})
    objective = build_objective(config, vectors() if config.deep else FaceExamples(stripes(7), config), None)
    for part in ("critic", "denoiser"):
        [group] = objective.state()[f"{part}_optimizer"]["param_groups"]
        assert group["momentum"] == 0.9 and group["nesterov"] is False and group["dampening"] == 0


@pytest.mark.parametrize("kind", sorted(CONFIGS))
def test_a_run_that_stops_after_an_epoch_goes_on_to_the_same_weights(tmp_path: Path, kind: str) -> None:
    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "stopped", kind, CONFIGS[kind], on_epoch=stop)
    resumed = trained(tmp_path / "stopped", kind, CONFIGS[kind], resume=True)
    whole = trained(tmp_path / "whole", kind, CONFIGS[kind])
    assert are_equal(resumed.network, whole.network)
    assert [line.losses for line in resumed.history] == [line.losses for line in whole.history]
    other = trained(tmp_path / "other", kind, CONFIGS[kind].model_copy(update={"seed": 1}))
    assert not are_equal(other.network, whole.network)


def test_frozen_epochs_have_no_place_here() -> None:
    with pytest.raises(ValueError, match="frozen_epochs has no place"):
        TrainingConfig.model_validate(CONFIGS["faces"].model_dump() | {"frozen_epochs": 1})
