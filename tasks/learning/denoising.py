"""How much of the noise a denoiser takes away, as peak signal-to-noise ratio against the clean pictures."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from moodreel.schemas.manifest import Denoising
from moodreel.tasks.learning.adversarial import AdversarialNetwork

_PEAK = 2.0  # pixels are in -1..1
_AT_ONCE = 128
Decibels = NDArray[np.float64]


def denoising_psnr(network: nn.Module, images: Tensor, sigma: float, seed: int) -> tuple[Decibels, Decibels]:
    """Add noise to pictures and denoise them.

    The denoiser is fed as in training, where noise may leave the range of pixels; both pictures are clipped to it
    before they are measured, as they would be to be stored.

    Args:
        network: with a `denoiser` for such pictures, like `gan-sgdma`.
        images: (n, 1, s, s) float32 clean pixels in -1..1; n = 0 is allowed.
        sigma: standard deviation of the Gaussian noise.
        seed: decides the noise, on every device the same.

    Returns:
        (n,) dB of the noisy and (n,) dB of the denoised pictures; infinite where nothing differs.
    """
    denoiser = cast(AdversarialNetwork, network).denoiser
    device = next(denoiser.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    noisy_db, denoised_db = [np.zeros(0)], [np.zeros(0)]
    with torch.inference_mode():
        for first in range(0, len(images), _AT_ONCE):
            clean = images[first : first + _AT_ONCE]
            noisy = clean + sigma * torch.randn(clean.shape, generator=generator)
            denoised = denoiser(noisy.to(device)).float().cpu()
            noisy_db.append(_psnr(noisy, clean))
            denoised_db.append(_psnr(denoised, clean))
    return np.concatenate(noisy_db), np.concatenate(denoised_db)


def denoising_table(network: nn.Module, images: Tensor, sigmas: Sequence[float], seed: int = 0) -> dict[str, Denoising]:
    """Return the mean figures over (n, 1, s, s) pictures for each level of noise; n is at least 1."""
    table = {}
    for sigma in sigmas:
        noisy, denoised = denoising_psnr(network, images, sigma, seed)
        table[f"{sigma:g}"] = Denoising(
            noisy_psnr_db=round(float(noisy.mean()), 2), denoised_psnr_db=round(float(denoised.mean()), 2)
        )
    return table


def _psnr(images: Tensor, clean: Tensor) -> Decibels:
    error = (images.clamp(-1, 1) - clean).double().square().flatten(1).mean(1)
    decibels: Decibels = (10 * torch.log10(_PEAK**2 / error)).numpy()
    return decibels
