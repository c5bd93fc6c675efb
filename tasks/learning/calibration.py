"""One temperature for all logits, so that a probability says how often the guess is right.

After Guo et al. 2017, "On Calibration of Modern Neural Networks" (arXiv 1706.04599). A temperature changes no guess.
Softmax of log-probabilities / T is softmax of logits / T, so probabilities are all that is needed here.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from moodreel.tasks.learning.metrics import Labels, Probabilities, calibration_error

_LEAST, _MOST = 0.05, 20.0
_FLOOR = 1e-30  # float32 probabilities can be 0


@dataclass(frozen=True, slots=True)
class Calibration:
    """A temperature, and the expected calibration error without it and with it on faces that it was not fitted on."""

    temperature: float
    ece_uncalibrated: float
    ece: float


def apply_temperature(probabilities: Probabilities, temperature: float) -> Probabilities:
    """Return the (n, 7) probabilities that the logits divided by a temperature give."""
    logits = np.log(np.maximum(probabilities.astype(np.float64), _FLOOR)) / temperature
    powers = np.exp(logits - logits.max(1, keepdims=True))
    warmed: Probabilities = (powers / powers.sum(1, keepdims=True)).astype(np.float32)
    return warmed


def fit_temperature(probabilities: Probabilities, labels: Labels) -> float:
    """Return the temperature, 0.05 to 20, under which the labels are likeliest.

    Raises:
        ValueError: there are no faces.
    """
    if len(labels) == 0:
        raise ValueError("a temperature is fitted to labelled faces; there are none")
    logs = np.log(np.maximum(probabilities.astype(np.float64), _FLOOR))

    def loss(log_temperature: float) -> float:
        scaled = logs / np.exp(log_temperature)
        normalisers = np.logaddexp.reduce(scaled, axis=1)
        return float((normalisers - scaled[np.arange(len(labels)), labels]).mean())

    # the loss has one minimum (it is convex in 1 / temperature); the logarithm makes the step even on both sides of 1
    fitted = minimize_scalar(loss, bounds=(np.log(_LEAST), np.log(_MOST)), method="bounded", options={"xatol": 1e-5})
    return float(np.exp(fitted.x))


def calibrate(probabilities: Probabilities, labels: Labels, seed: int = 0) -> Calibration:
    """Fit a temperature on all faces, and measure its effect by two-fold cross-fitting.

    The faces are halved at random; each half is corrected by the temperature of the other. Both halves together are
    measured, since the calibration error of fewer faces is larger by chance alone.

    Raises:
        ValueError: there are fewer than two faces.
    """
    if len(labels) < 2:
        raise ValueError(f"a temperature that is fitted and measured takes at least 2 faces, not {len(labels)}")
    order = np.random.default_rng(seed).permutation(len(labels))
    halves = np.array_split(order, 2)
    corrected = np.empty_like(probabilities)
    for own, other in (halves, halves[::-1]):
        corrected[own] = apply_temperature(probabilities[own], fit_temperature(probabilities[other], labels[other]))
    return Calibration(
        temperature=fit_temperature(probabilities, labels),
        ece_uncalibrated=calibration_error(probabilities, labels),
        ece=calibration_error(corrected, labels),
    )
