"""How sure a comparison is: repeated draws with an interval, and McNemar's test."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

NUM_DRAWS: Final = 20
LEVEL: Final = 0.95
_SEED = 20_26


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean, and half the width of its interval."""

    mean: float
    margin: float


@dataclass(frozen=True, slots=True)
class PairedTest:
    """McNemar's test of two classifiers on the same items.

    Attributes:
        only_first: items that the first alone gets right.
        only_second: items that the second alone gets right.
        p: of so uneven a split or a more uneven one, if both were equally good.
    """

    only_first: int
    only_second: int
    p: float


def draw_items(n: int, size: int) -> NDArray[np.int64]:
    """Return (NUM_DRAWS, size) places among n items, none twice in a draw; the same ones every time.

    Raises:
        ValueError: there are fewer than `size` items.
    """
    if size > n:
        raise ValueError(f"{size} items can't be drawn from {n}")
    draws = [np.random.default_rng([_SEED, size, draw]).permutation(n)[:size] for draw in range(NUM_DRAWS)]
    return np.stack(draws)


def estimate_mean(values: Sequence[float]) -> Estimate:
    """Return the mean of at least two values with Student's interval at LEVEL, which takes them as independent."""
    count = len(values)
    spread = float(np.std(values, ddof=1))
    margin = float(stats.t.ppf((1 + LEVEL) / 2, count - 1)) * spread / count**0.5
    return Estimate(float(np.mean(values)), margin)


def compare_paired(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> PairedTest:
    """Test exactly, by the binomial distribution of the items on which two classifiers differ.

    Args:
        first: (n,) which items the first gets right.
        second: the same of the second.
    """
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    differing = only_first + only_second
    p = float(stats.binomtest(only_first, differing, 0.5).pvalue) if differing else 1.0
    return PairedTest(only_first, only_second, p)


def correct_for_many(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for how many there are (Holm 1979): none may pass for significant by number alone."""
    order = np.argsort(p_values, kind="stable")
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected
