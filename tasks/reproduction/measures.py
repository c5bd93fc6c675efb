"""What one trained network does on the test faces: probabilities, time, and how well it denoises if it can."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from moodreel.schemas.training import TrainingConfig
from moodreel.tasks.learning.denoising import denoising_psnr
from moodreel.tasks.learning.examples import FaceExamples
from moodreel.tasks.learning.labelled import LabelledFaces
from moodreel.tasks.learning.machine import autocast
from moodreel.tasks.learning.train import EpochMetrics, Trained, predict
from moodreel.tasks.reproduction.claims import SIZES
from moodreel.tasks.reproduction.statistics import draw_items

_NOISE_SEED = 0
_AT_ONCE = 128


@dataclass(frozen=True, slots=True)
class Denoised:
    """PSNR of every test face at one level of noise, each (n,) dB; infinite where a picture is met exactly.

    `sigma` is the standard deviation of the noise; pixels span -1..1.
    """

    sigma: float
    noisy_db: NDArray[np.float64]
    denoised_db: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of one method.

    Attributes:
        config: how it was trained.
        history: every epoch.
        num_parameters: that were trained.
        probabilities: (n, 7) of the test faces.
        seconds: by N, of each draw of N of them, from the network's input to probabilities on one thread.
        denoised: by level of noise; empty for a network without a denoiser.
    """

    config: TrainingConfig
    history: list[EpochMetrics]
    num_parameters: int
    probabilities: NDArray[np.float32]
    seconds: dict[int, list[float]]
    denoised: list[Denoised]


def measure_network(trained: Trained, config: TrainingConfig, faces: LabelledFaces) -> Measured:
    """Measure a trained network on the test faces; sizes beyond their number are left out of `seconds`."""
    network = trained.network
    examples = FaceExamples(faces, config)
    probabilities = predict(network, examples, config)
    sigmas = config.adversarial.noise_sigmas if config.adversarial else ()
    inputs = examples.plain(slice(None))
    denoised = [Denoised(sigma, *denoising_psnr(network, inputs[:, :1], sigma, _NOISE_SEED)) for sigma in sigmas]
    network.cpu()
    with _one_thread():
        _time_inputs(network, inputs[: SIZES[0]], config)  # warms what is built at the first call
        seconds = {
            size: [_time_inputs(network, inputs[chosen], config) for chosen in draw_items(len(inputs), size)]
            for size in SIZES
            if size <= len(inputs)
        }
    num_parameters = sum(parameter.numel() for parameter in network.parameters())
    return Measured(config, trained.history, num_parameters, probabilities, seconds, denoised)


def _time_inputs(network: nn.Module, inputs: Tensor, config: TrainingConfig) -> float:
    started = time.process_time()  # of this program alone: what else runs on the machine does not count
    with torch.inference_mode(), autocast(config.precision, inputs.device):
        for chunk in torch.split(inputs, _AT_ONCE):
            network(chunk).float().softmax(1)
    return time.process_time() - started


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
