"""Mel frequency cepstral coefficients of a stretch of speech."""

import librosa
import numpy as np
from numpy.typing import NDArray

from moodreel.schemas.config import SAMPLE_RATE_HZ
from moodreel.schemas.training import Mfccs
from moodreel.tasks.sound import Samples

_FFT = 512
_WINDOW = 400  # samples, 25 ms
_HOP = 256  # 16 ms


def read_mfccs(samples: Samples, settings: Mfccs) -> NDArray[np.float32]:
    """Return (13, t) float32 of the stretch that the settings name, filled up with silence where the clip is shorter.

    Hamming window 0.54 - 0.46 cos, mel(f) = 2595 log10(1 + f / 700) (`htk`), then the discrete cosine transform.
    """
    first, length = (round(seconds * SAMPLE_RATE_HZ) for seconds in (settings.offset_s, settings.length_s))
    stretch = samples[first : first + length]
    padded = np.pad(stretch, (0, length - len(stretch)))
    coefficients: NDArray[np.float32] = librosa.feature.mfcc(
        y=padded,
        sr=SAMPLE_RATE_HZ,
        n_mfcc=settings.num_coefficients,
        n_fft=_FFT,
        win_length=_WINDOW,
        hop_length=_HOP,
        window="hamming",
        htk=True,
    )
    return coefficients.astype(np.float32)
