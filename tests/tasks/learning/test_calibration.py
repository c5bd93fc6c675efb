import numpy as np
import pytest
from numpy.typing import NDArray
from pictures import guesses

from moodreel.tasks.learning.calibration import apply_temperature, calibrate, fit_temperature


def drawn(heat: float, count: int = 4000) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Probabilities, and labels drawn from what they would be at a temperature."""
    rng = np.random.default_rng(5)
    logits = rng.normal(0, 2, (count, 7))
    powers = np.exp(logits)
    probabilities = (powers / powers.sum(1, keepdims=True)).astype(np.float32)
    cooled = apply_temperature(probabilities, heat).cumsum(1)
    return probabilities, (rng.random((count, 1)) > cooled[:, :-1]).sum(1).astype(np.int64)


@pytest.mark.parametrize("heat", [0.6, 1.0, 2.5])
def test_the_temperature_that_made_the_labels_is_found(heat: float) -> None:
    assert fit_temperature(*drawn(heat)) == pytest.approx(heat, rel=0.05)


def test_a_temperature_changes_no_guess_and_can_be_undone() -> None:
    probabilities, _ = drawn(1.0, 500)
    warm = apply_temperature(probabilities, 3.0)
    np.testing.assert_array_equal(warm.argmax(1), probabilities.argmax(1))
    np.testing.assert_allclose(warm.sum(1), 1, atol=1e-5)
    assert warm.max() < probabilities.max()
    np.testing.assert_allclose(apply_temperature(warm, 1 / 3), probabilities, atol=1e-5)


def test_calibration_mends_a_network_that_is_too_sure() -> None:
    found = calibrate(*drawn(2.5))
    assert found.temperature == pytest.approx(2.5, rel=0.05)
    assert found.ece_uncalibrated > 0.15
    assert found.ece < 0.03


def test_the_effect_is_measured_on_faces_that_the_temperature_was_not_fitted_on() -> None:
    probabilities, labels = drawn(2.5, 40)
    halves = np.array_split(np.random.default_rng(3).permutation(40), 2)
    labels[halves[0]] = probabilities[halves[0]].argmax(1)  # the first half is always right, the second never
    labels[halves[1]] = (probabilities[halves[1]].argmax(1) + 1) % 7
    assert calibrate(probabilities, labels, seed=3).ece > calibrate(probabilities, labels, seed=4).ece + 0.1


def test_a_temperature_needs_faces() -> None:
    with pytest.raises(ValueError, match="there are none"):
        fit_temperature(guesses([]), np.zeros(0, np.int64))
    with pytest.raises(ValueError, match="at least 2 faces, not 1"):
        calibrate(guesses([1]), np.ones(1, np.int64))
