"""Random changes to a clip of speech: level, noise, pitch, speed."""

import random

import numpy as np
from audiomentations import AddGaussianSNR, Compose, Gain, PitchShift, TimeStretch

from moodreel.schemas.config import SAMPLE_RATE_HZ
from moodreel.schemas.training import SoundAugmentation
from moodreel.tasks.sound import Samples


def change_sound(samples: Samples, settings: SoundAugmentation, seed: int) -> Samples:
    """Return a changed copy of a clip.

    Args:
        samples: (n,) float32 of 16 kHz mono.
        settings: the largest changes.
        seed: decides the changes.

    Returns:
        (m,) float32 in -1..1, longer or shorter by the change of speed.
    """
    changes = []
    if settings.pitch_semitones:
        changes.append(PitchShift(-settings.pitch_semitones, settings.pitch_semitones, p=1.0))
    if settings.speed_share:
        slowest, fastest = 1 - settings.speed_share, 1 + settings.speed_share
        changes.append(TimeStretch(slowest, fastest, leave_length_unchanged=False, p=1.0))
    if settings.noise_probability:
        changes.append(AddGaussianSNR(*settings.noise_snr_db, p=settings.noise_probability))
    if settings.gain_db:
        changes.append(Gain(-settings.gain_db, settings.gain_db, p=1.0))
    # the library draws from both global generators
    random.seed(seed)
    np.random.seed(seed % 2**32)
    changed: Samples = Compose(changes)(samples.astype(np.float32), SAMPLE_RATE_HZ)
    return changed.astype(np.float32).clip(-1, 1)
