"""Speech, made and recorded, and labelled clips of it."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
import soxr
from clips import SPEECH

from moodreel.schemas.config import SAMPLE_RATE_HZ
from moodreel.tasks.learning.clips import LabelledClips
from moodreel.tasks.sound import Samples


def voice(seconds: float, hz: float = 120.0, seed: int = 0) -> Samples:
    """Harmonics of a pitch through three formants, in four syllables a second, the same for the same seed."""
    rng = np.random.default_rng(seed)
    times_s = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    formants = rng.uniform((300, 900, 2200), (800, 1800, 3000))
    harmonics = np.arange(hz, 7000, hz)
    levels = (1 / (1 + ((harmonics[:, None] - formants) / 100) ** 2)).sum(1)
    waves = np.sin(2 * np.pi * np.outer(harmonics, times_s) + rng.uniform(0, 2 * np.pi, (len(harmonics), 1)))
    sound = (levels @ waves) * np.sin(4 * np.pi * times_s) ** 2
    return (0.3 * sound / np.abs(sound).max()).astype(np.float32)


def spoken(seconds: float) -> Samples:
    """The beginning of what the demo says, seven seconds at most, in which the speech detector hears speech."""
    values, rate_hz = soundfile.read(SPEECH, dtype="float32")
    samples: Samples = soxr.resample(values, rate_hz, SAMPLE_RATE_HZ)
    return samples[: round(seconds * SAMPLE_RATE_HZ)]


def tone(seconds: float, hz: float = 440.0, level: float = 0.2, rate_hz: int = SAMPLE_RATE_HZ) -> Samples:
    """A sine."""
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(np.float32)


def pitch_hz(samples: Samples) -> float:
    """The strongest frequency of the middle of a sound."""
    middle = samples[len(samples) // 4 : len(samples) * 3 // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 8 * len(middle)))
    return float(spectrum.argmax()) * SAMPLE_RATE_HZ / (8 * len(middle))


def level_db(samples: Samples) -> float:
    """The mean power of a sound."""
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64))))


def coded(samples: Samples, rate_hz: int = SAMPLE_RATE_HZ, kind: str = "FLAC", subtype: str | None = None) -> bytes:
    """The bytes of an audio file with (n,) or (n, channels) float32 samples."""
    data = io.BytesIO()
    soundfile.write(data, samples, rate_hz, format=kind, subtype=subtype)
    return data.getvalue()


def speech_clips(
    labels: Sequence[int],
    sounds: Sequence[Samples] | None = None,
    speakers: Sequence[str] | None = None,
    sexes: Sequence[str] | None = None,
    corpora: Sequence[str] | None = None,
) -> LabelledClips:
    """Clips with the given labels: short made ones, each by a speaker of no said sex, unless told otherwise."""
    n = len(labels)
    return LabelledClips(
        sounds=list(sounds) if sounds is not None else [voice(0.2, seed=seed) for seed in range(n)],
        labels=np.array(labels, np.int64),
        corpora=np.array(["made"] * n if corpora is None else corpora, np.str_),
        speakers=np.array([f"made {i}" for i in range(n)] if speakers is None else speakers, np.str_),
        sexes=np.array([""] * n if sexes is None else sexes, np.str_),
        skipped={},
    )


def write_speech(
    path: Path,
    labels: Sequence[str | None],
    sounds: Sequence[bytes | None] | None = None,
    speakers: Sequence[str | None] | None = None,
    sexes: Sequence[str | None] | None = None,
) -> Path:
    """A Parquet file of short made clips with the given label names; speaker and sex only where they are told."""
    flac = [coded(voice(0.2, seed=seed)) for seed in range(len(labels))] if sounds is None else list(sounds)
    columns = {"flac": pa.array(flac, pa.binary()), "label7": pa.array(labels, pa.string())}
    if speakers is not None:
        columns["speaker"] = pa.array(speakers, pa.string())
    if sexes is not None:
        columns["sex"] = pa.array(sexes, pa.string())
    pq.write_table(pa.table(columns), path)
    return path
