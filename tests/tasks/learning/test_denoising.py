import numpy as np
import pytest
import torch
from torch import Tensor, nn

from moodreel.tasks.learning.denoising import denoising_psnr, denoising_table


class Network(nn.Module):
    """Any network with a denoiser: this one multiplies pixels by a gain and adds a lift."""

    def __init__(self, gain: float, lift: float = 0.0) -> None:
        super().__init__()
        self.denoiser = nn.Conv2d(1, 1, 1)
        nn.init.constant_(self.denoiser.weight, gain)
        assert self.denoiser.bias is not None
        nn.init.constant_(self.denoiser.bias, lift)


def grey(count: int, value: float = 0.0) -> Tensor:
    return torch.full((count, 1, 48, 48), value)


@pytest.mark.parametrize("sigma", [0.05, 0.1, 0.2])
def test_noise_that_stays_has_the_psnr_of_its_spread(sigma: float) -> None:
    noisy, denoised = denoising_psnr(Network(gain=1), grey(40), sigma, seed=0)
    assert noisy.shape == denoised.shape == (40,)
    np.testing.assert_allclose(denoised, noisy, atol=1e-4)
    assert noisy.mean() == pytest.approx(20 * np.log10(2 / sigma), abs=0.05)


def test_half_of_the_noise_is_6_db() -> None:
    noisy, denoised = denoising_psnr(Network(gain=0.5), grey(3), 0.1, seed=0)
    np.testing.assert_allclose(denoised - noisy, 20 * np.log10(2), atol=1e-4)


def test_a_perfect_picture_is_infinitely_good_and_a_wrong_one_as_bad_as_it_differs() -> None:
    assert np.isinf(denoising_psnr(Network(gain=0), grey(2), 0.1, seed=0)[1]).all()
    np.testing.assert_allclose(denoising_psnr(Network(gain=0, lift=0.2), grey(2), 0.1, seed=0)[1], 20, atol=1e-4)


def test_both_pictures_are_clipped_to_the_range_of_pixels() -> None:
    assert np.isinf(denoising_psnr(Network(gain=0, lift=9), grey(2, 1.0), 0.1, seed=0)[1]).all()
    clipped, free = (denoising_psnr(Network(gain=1), grey(20, value), 0.1, seed=0)[0].mean() for value in (1.0, 0.0))
    assert clipped - free == pytest.approx(10 * np.log10(2), abs=0.1)  # half of the noise on white goes beyond it


def test_the_seed_decides_and_batches_do_not_matter() -> None:
    many, few = (denoising_psnr(Network(gain=1), grey(count), 0.1, seed=0)[0] for count in (130, 128))
    assert np.array_equal(many[:128], few)
    assert len(np.unique(many)) == 130  # every picture has its own noise
    assert not np.array_equal(denoising_psnr(Network(gain=1), grey(128), 0.1, seed=1)[0], few)
    noisy, denoised = denoising_psnr(Network(gain=1), grey(0), 0.1, seed=0)
    assert noisy.shape == denoised.shape == (0,)


def test_the_table_has_the_means_of_every_level() -> None:
    table = denoising_table(Network(gain=0.5), grey(5), (0.08, 0.16))
    assert list(table) == ["0.08", "0.16"]
    for sigma, means in table.items():
        noisy, denoised = denoising_psnr(Network(gain=0.5), grey(5), float(sigma), seed=0)
        assert means.noisy_psnr_db == pytest.approx(noisy.mean(), abs=0.005)
        assert means.denoised_psnr_db == pytest.approx(denoised.mean(), abs=0.005)
