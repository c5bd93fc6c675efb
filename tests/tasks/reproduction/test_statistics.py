import numpy as np
import pytest

from moodreel.tasks.reproduction.statistics import (
    NUM_DRAWS,
    compare_paired,
    correct_for_many,
    draw_items,
    estimate_mean,
)


def test_draws_are_the_same_every_time_and_hold_no_item_twice() -> None:
    draws = draw_items(70, 50)
    assert draws.shape == (NUM_DRAWS, 50)
    assert (draws == draw_items(70, 50)).all()
    assert all(len(set(draw)) == 50 for draw in draws.tolist())
    assert len({tuple(draw) for draw in draws.tolist()}) == NUM_DRAWS
    assert set(draws.ravel().tolist()) == set(range(70))
    with pytest.raises(ValueError, match="71 items can't be drawn from 70"):
        draw_items(70, 71)


def test_the_interval_is_students() -> None:
    estimate = estimate_mean([1.0, 2.0, 3.0, 4.0, 5.0])
    assert estimate.mean == 3.0
    assert estimate.margin == pytest.approx(2.776445 * 1.581139 / 5**0.5, rel=1e-6)  # t(0.975, 4), deviation
    assert estimate_mean([2.0] * NUM_DRAWS).margin == 0.0


def test_the_interval_holds_the_true_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    estimates = [estimate_mean(rng.normal(7, 2, NUM_DRAWS).tolist()) for _ in range(2000)]
    share = np.mean([abs(estimate.mean - 7) <= estimate.margin for estimate in estimates])
    assert share == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    [
        (0, 0, 1.0),
        (5, 5, 1.0),
        (1, 9, 22 / 1024),  # both tails of ten tosses: 2 (1 + 10)
        (8, 0, 2 / 256),
        (59, 121, 4.4345e-06),
    ],
)
def test_mcnemars_exact_test_of_known_tables(only_first: int, only_second: int, p: float) -> None:
    first = np.array([True] * 30 + [False] * 20 + [True] * only_first + [False] * only_second)
    second = np.array([True] * 30 + [False] * 20 + [False] * only_first + [True] * only_second)
    found = compare_paired(first, second)
    assert (found.only_first, found.only_second) == (only_first, only_second)
    assert found.p == pytest.approx(p, rel=1e-3)
    assert compare_paired(second, first).p == found.p


def test_holms_correction_of_a_known_example() -> None:
    assert correct_for_many([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert correct_for_many([0.9, 0.8]) == [1.0, 1.0]
    assert correct_for_many([0.2]) == [0.2]
