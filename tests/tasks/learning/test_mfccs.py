import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.fft import dct
from speech import voice

from moodreel.schemas.training import Mfccs
from moodreel.tasks.learning.mfccs import read_mfccs
from moodreel.tasks.sound import Samples

pytestmark = pytest.mark.slow  # in a new environment numba first compiles librosa, which takes long
RATE = 16_000
DEFAULT = Mfccs()


def mel(hz: NDArray[np.float64] | float) -> NDArray[np.float64]:
    return np.asarray(2595 * np.log10(1 + np.asarray(hz) / 700))


def by_hand(stretch: Samples, count: int = 13) -> NDArray[np.float64]:
    """The coefficients (count, t) as the textbook has them: 25 ms every 16 ms, 128 triangles, decibels, DCT."""
    padded = np.pad(stretch.astype(np.float64), 256)
    window = np.pad(0.54 - 0.46 * np.cos(2 * np.pi * np.arange(400) / 400), 56)
    frames = np.stack([padded[start : start + 512] * window for start in range(0, len(stretch) + 1, 256)])
    powers = np.abs(np.fft.rfft(frames)) ** 2
    edges = 700 * (10 ** (np.linspace(0, mel(RATE / 2), 130) / 2595) - 1)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bins = np.arange(257) * RATE / 512
    triangles = np.maximum(0, np.minimum((bins - low) / (middle - low), (high - bins) / (high - middle)))
    energies = powers @ (triangles * 2 / (high - low)).T  # of equal area
    levels_db = 10 * np.log10(np.maximum(energies, 1e-10))
    levels_db = np.maximum(levels_db, levels_db.max() - 80)
    return np.asarray(dct(levels_db, type=2, norm="ortho", axis=1)[:, :count].T)


@pytest.mark.parametrize("hz", [110.0, 230.0])
def test_the_coefficients_are_those_of_the_textbook(hz: float) -> None:
    samples = voice(3.2, hz)
    found = read_mfccs(samples, DEFAULT)
    assert found.shape == (13, 157) and found.dtype == np.float32
    np.testing.assert_allclose(found, by_hand(samples[8_000:48_000]), atol=5e-3)


def test_only_the_stretch_that_the_settings_name_counts() -> None:
    samples = voice(3.5)
    before = read_mfccs(samples, DEFAULT)
    outside, first, last = samples.copy(), samples.copy(), samples.copy()
    outside[:8_000] = outside[48_000:] = 0.1
    first[8_000] += 0.1
    last[47_999] += 0.1
    assert np.array_equal(read_mfccs(outside, DEFAULT), before)
    assert not np.array_equal(read_mfccs(first, DEFAULT), before)
    assert not np.array_equal(read_mfccs(last, DEFAULT), before)


def test_a_shorter_clip_is_filled_up_with_silence() -> None:
    samples = voice(1.2)
    found = read_mfccs(samples, DEFAULT)
    assert np.array_equal(found, read_mfccs(np.pad(samples, (0, 80_000)), DEFAULT))
    np.testing.assert_allclose(found, by_hand(np.pad(samples[8_000:], (0, 28_800))), atol=5e-3)


@pytest.mark.parametrize("length", [0, 1, 7_999, 8_000])
def test_a_clip_that_ends_before_the_stretch_begins_is_silence(length: int) -> None:
    found = read_mfccs(voice(3)[:length], DEFAULT)
    assert np.array_equal(found, read_mfccs(np.zeros(48_000, np.float32), DEFAULT))
    assert np.isfinite(found).all()


def test_offset_length_and_number_of_coefficients_are_followed() -> None:
    samples = voice(3)
    shorter = read_mfccs(samples, Mfccs(offset_s=0.3, length_s=1.0))
    assert shorter.shape == (13, 63)
    np.testing.assert_allclose(shorter, by_hand(samples[4_800:20_800]), atol=5e-3)
    more = read_mfccs(samples, Mfccs(num_coefficients=20))
    assert more.shape == (20, 157)
    np.testing.assert_array_equal(more[:13], read_mfccs(samples, DEFAULT))
