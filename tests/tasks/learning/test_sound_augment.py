import random

import numpy as np
import pytest
from speech import level_db, pitch_hz, tone, voice

from moodreel.schemas.training import SoundAugmentation
from moodreel.tasks.learning.sound_augment import change_sound
from moodreel.tasks.sound import Samples

OFF = {"gain_db": 0.0, "noise_probability": 0.0, "pitch_semitones": 0.0, "speed_share": 0.0}
ON = [("gain_db", 12.0), ("noise_probability", 1.0), ("pitch_semitones", 1.5), ("speed_share", 0.1)]
SEEDS = range(12)


def only(**settings: object) -> SoundAugmentation:
    """A single change, all others off."""
    return SoundAugmentation.model_validate(OFF | settings)


def changed(samples: Samples, settings: SoundAugmentation) -> list[Samples]:
    return [change_sound(samples, settings, seed) for seed in SEEDS]


def snr_db(samples: Samples, noisy: Samples) -> float:
    return level_db(samples) - level_db(noisy - samples)


def test_with_every_change_off_the_sound_stays() -> None:
    samples = voice(1)
    assert np.array_equal(change_sound(samples, only(), 0), samples)


@pytest.mark.parametrize(("name", "value"), ON)
def test_the_seed_alone_decides_a_change(name: str, value: float) -> None:
    samples, settings = voice(1), only(**{name: value})
    before, found = samples.copy(), []
    for others_seed in (98, 99):
        random.seed(others_seed)
        np.random.seed(others_seed)
        found.append(change_sound(samples, settings, 3))
    first, again = found
    other = change_sound(samples, settings, 4)
    assert first.dtype == np.float32 and np.isfinite(first).all()
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, samples)
    assert np.array_equal(samples, before)


def test_any_seed_will_do() -> None:
    change_sound(voice(1), only(gain_db=6.0), 43 * 1_000_003 * 101)


def test_the_level_changes_by_at_most_the_gain() -> None:
    samples = tone(0.5)
    gains_db = np.array([level_db(found) - level_db(samples) for found in changed(samples, only(gain_db=6.0))])
    assert -6.001 < gains_db.min() < -3
    assert 3 < gains_db.max() < 6.001


def test_what_gets_too_loud_is_clipped() -> None:
    assert max(np.abs(found).max() for found in changed(tone(0.5, level=0.9), only(gain_db=12.0))) == 1


def test_noise_has_a_ratio_between_the_bounds() -> None:
    samples = voice(1)
    ratios_db = [snr_db(samples, found) for found in changed(samples, only(noise_probability=1.0))]
    assert 7.8 < min(ratios_db) < 15
    assert 23 < max(ratios_db) < 30.2
    fixed = only(noise_probability=1.0, noise_snr_db=(20.0, 20.0))
    assert [snr_db(samples, found) for found in changed(samples, fixed)] == pytest.approx([20] * len(SEEDS), abs=0.2)


def test_noise_is_added_as_often_as_told() -> None:
    samples = tone(0.1)
    settings = only(noise_probability=0.25)
    count = sum(not np.array_equal(change_sound(samples, settings, seed), samples) for seed in range(400))
    assert 70 < count < 130  # 100 expected, 3.5 standard deviations


def test_the_pitch_moves_by_at_most_so_many_semitones_and_the_length_stays() -> None:
    found = changed(tone(1), only(pitch_semitones=2.0))
    semitones = np.array([12 * np.log2(pitch_hz(samples) / 440) for samples in found])
    assert {len(samples) for samples in found} == {16_000}
    assert -2.2 < semitones.min() < -1
    assert 1 < semitones.max() < 2.2


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_speed_changes_by_at_most_the_share_and_the_pitch_stays(share: float) -> None:
    samples = tone(1)
    found = changed(samples, only(speed_share=share))
    speeds = np.array([len(samples) / len(one) for one in found])
    assert 1 - share - 1e-3 < speeds.min() < 1 - share / 2
    assert 1 + share / 2 < speeds.max() < 1 + share + 1e-3
    for one in found:
        assert pitch_hz(one) == pytest.approx(440, abs=4)


def test_all_changes_go_together() -> None:
    samples = voice(1)
    found = changed(samples, SoundAugmentation())
    assert len({one.tobytes() for one in found}) == len(SEEDS)
    assert all(np.abs(one).max() <= 1 and 0.9 < len(one) / len(samples) < 1.12 for one in found)


def test_silence_stays_silent_and_the_shortest_clip_survives() -> None:
    settings = SoundAugmentation(noise_probability=1.0)
    assert all(np.abs(found).max() == 0 for found in changed(np.zeros(8_000, np.float32), settings))
    assert {len(found) for found in changed(np.full(1, 0.1, np.float32), settings)} == {1}
