import pytest
import torch
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, ReduceLROnPlateau

from moodreel.schemas.training import Cosine, OneCycle, Plateau, Schedule, Steps
from moodreel.tasks.learning.rates import epochs_without_rise, rate_at, refuse_unreached


def optimizer(rate: float) -> SGD:
    return SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)


def rates(schedule: Schedule, num_steps: int) -> list[float]:
    return [rate_at(schedule, step, num_steps, []) for step in range(num_steps)]


@pytest.mark.parametrize("warm_share", [0.1, 0.25, 0.5])
def test_one_cycle_is_torchs(warm_share: float) -> None:
    sgd = optimizer(0.1)
    scheduler = OneCycleLR(sgd, max_lr=0.2, total_steps=200, pct_start=warm_share)
    expected = [scheduler.get_last_lr()[0]]
    for _ in range(199):
        sgd.step()
        scheduler.step()
        expected.append(scheduler.get_last_lr()[0])
    assert rates(OneCycle(peak_rate=0.2, warm_share=warm_share), 200) == pytest.approx(expected, rel=1e-6)


def test_cosine_is_torchs() -> None:
    sgd = optimizer(0.1)
    scheduler = CosineAnnealingLR(sgd, T_max=100)
    expected = [scheduler.get_last_lr()[0]]
    for _ in range(99):
        sgd.step()
        scheduler.step()
        expected.append(scheduler.get_last_lr()[0])
    assert rates(Cosine(rate=0.1), 100) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("factor", "patience"), [(0.3, 5), (0.5, 2)])
def test_plateau_is_torchs(factor: float, patience: int) -> None:
    generator = torch.Generator().manual_seed(0)
    accuracies = [0.3, 0.4, *(0.35 + 0.1 * torch.rand(60, generator=generator)).tolist(), 0.6, *[0.5] * 20]
    sgd = optimizer(0.1)
    scheduler = ReduceLROnPlateau(sgd, mode="max", factor=factor, patience=patience, threshold=0.0)
    schedule = Plateau(rate=0.1, factor=factor, patience_epochs=patience)
    for epoch, accuracy in enumerate(accuracies):
        assert rate_at(schedule, 7, 10, accuracies[:epoch]) == pytest.approx(sgd.param_groups[0]["lr"])
        scheduler.step(accuracy)
    assert sgd.param_groups[0]["lr"] < 0.1 * factor**3


def test_plateau_has_the_factor_and_the_patience_of_the_sources() -> None:
    schedule = Plateau(rate=1.0)
    assert [rate_at(schedule, 0, 1, [0.5] * count) for count in (1, 6, 7, 12, 13)] == pytest.approx(
        [1, 1, 0.3, 0.3, 0.09]
    )


def test_steps_follow_one_another_and_the_last_stays() -> None:
    found = rates(Steps(rates=((3, 0.01), (2, 0.0001))), 8)
    assert found == [0.01] * 3 + [0.0001] * 5


@pytest.mark.parametrize("schedule", [OneCycle(peak_rate=0.1), Cosine(rate=0.1), Plateau(rate=0.1)])
@pytest.mark.parametrize("num_steps", [1, 2, 3])
def test_a_run_of_a_few_steps_has_rates_too(schedule: Schedule, num_steps: int) -> None:
    assert all(0 < rate <= 0.1 for rate in rates(schedule, num_steps))


def test_epochs_without_rise_count_from_the_best() -> None:
    assert [epochs_without_rise(seen) for seen in ([], [0.1], [0.1, 0.2], [0.2, 0.2, 0.1])] == [0, 0, 0, 2]


def test_a_rate_that_a_run_never_reaches_is_refused() -> None:
    schedule = Steps(rates=((30, 0.1), (20, 0.01)))
    refuse_unreached(schedule, 31)
    with pytest.raises(ValueError, match="begins after 30 steps and this run has 30"):
        refuse_unreached(schedule, 30)
