"""Learning rates as a function of where a run stands, so that nothing of a schedule has to be stored."""

import math
from collections.abc import Sequence

from moodreel.schemas.training import Cosine, OneCycle, Plateau, Schedule, Steps

_START, _END = 1 / 25, 1e-4  # one-cycle: share of the peak that it starts from; share of the start that it ends at


def rate_at(schedule: Schedule, step: int, num_steps: int, accuracies: Sequence[float]) -> float:
    """Return the learning rate of a step.

    Args:
        schedule: how the rate moves.
        step: number of the step in the whole run, from 0.
        num_steps: steps of the whole run.
        accuracies: validation accuracy of each finished epoch, which `Plateau` looks at.
    """
    match schedule:
        case OneCycle():
            turn = max(1.0, schedule.warm_share * num_steps - 1)
            start = schedule.peak_rate * _START
            if step <= turn:
                return _half_cosine(start, schedule.peak_rate, step / turn)
            return _half_cosine(schedule.peak_rate, start * _END, (step - turn) / max(1.0, num_steps - 1 - turn))
        case Cosine():
            return _half_cosine(schedule.rate, 0.0, step / max(1, num_steps))
        case Steps():
            for length, rate in schedule.rates:
                if step < length:
                    return rate
                step -= length
            return schedule.rates[-1][1]
        case Plateau():
            return schedule.rate * schedule.factor ** _num_plateaus(accuracies, schedule.patience_epochs)


def refuse_unreached(schedule: Schedule, num_steps: int) -> None:
    """Check that a run is long enough for each of its rates.

    Raises:
        ValueError: the last of its `Steps` is never reached.
    """
    if isinstance(schedule, Steps) and num_steps <= (before := sum(length for length, _ in schedule.rates[:-1])):
        raise ValueError(
            f"the last rate of the schedule begins after {before} steps and this run has {num_steps}: "
            "raise num_epochs or shorten what comes before"
        )


def epochs_without_rise(accuracies: Sequence[float]) -> int:
    """Return how many epochs ago the best accuracy was reached."""
    return len(accuracies) - 1 - accuracies.index(max(accuracies)) if accuracies else 0


def _num_plateaus(accuracies: Sequence[float], patience: int) -> int:
    best, waited, count = -math.inf, 0, 0
    for accuracy in accuracies:
        waited = 0 if accuracy > best else waited + 1
        best = max(best, accuracy)
        if waited > patience:
            waited, count = 0, count + 1
    return count


def _half_cosine(first: float, last: float, share: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * min(1.0, share))) / 2
