"""Windows of sound: openSMILE's features, share of speech, level.

The sound of a video is one unit of work from its first sample, since the speech detector hears in context: started anew
in every window it misses speech that it finds in one pass.
"""

import warnings
from collections.abc import Iterable, Iterator
from math import floor

import numpy as np
import opensmile
import pyarrow as pa
import torch
from numpy.typing import NDArray

from moodreel.schemas.config import SAMPLE_RATE_HZ, SoundConfig
from moodreel.schemas.tables import TABLES
from moodreel.tasks.sound import Samples

NUM_FEATURES = 1582
_BATCH = 16  # windows in one table
_CHUNK = 512  # samples that silero-vad judges at once, 32 ms
_FEATURES = TABLES["audio_windows"].schema.field("features").type
_SILENCE = 1 / 32768  # a window that never reaches one step of 16 bit is digital silence

_Window = tuple[int, Samples, Samples]  # number, samples, whether each is speech


class SoundAnalyst:
    """openSMILE and silero-vad, loaded once."""

    def __init__(self, config: SoundConfig) -> None:
        self.config = config
        # IS10 (Interspeech 2010 paralinguistic challenge, Schuller et al.), 1582 functionals
        self._smile = opensmile.Smile(opensmile.FeatureSet.IS10, opensmile.FeatureLevel.Functionals)
        # imported here: it sets torch to one thread, as workers want it and a training that imports this file does not
        from silero_vad import load_silero_vad

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # about torch.jit, which silero's own loader uses
            self._speech = load_silero_vad()

    def describe(self, sound: Iterable[Samples]) -> Iterator[pa.Table]:
        """Turn a stream of 16 kHz samples into rows of `audio_windows` without the key columns."""
        for windows in _batches(_cut(self._with_speech(sound), self.config)):
            t0_s = [number * self.config.hop_s for number, _, _ in windows]
            ends = [t + len(samples) / SAMPLE_RATE_HZ for t, (_, samples, _) in zip(t0_s, windows, strict=True)]
            yield pa.table(
                {
                    "window_id": pa.array([floor(t) for t in t0_s], pa.int64()),
                    "t0_s": pa.array(t0_s, pa.float64()),
                    "t1_s": pa.array(ends, pa.float64()),
                    "speech_share": pa.array([float(speech.mean()) for _, _, speech in windows], pa.float32()),
                    "level_dbfs": pa.array([_level_dbfs(samples) for _, samples, _ in windows], pa.float32()),
                    "features": pa.array([self._features(samples) for _, samples, _ in windows], _FEATURES),
                }
            )

    def _with_speech(self, sound: Iterable[Samples]) -> Iterator[tuple[Samples, Samples]]:
        """Give each sample a 1 where the detector hears speech, else 0; pieces of 32 ms."""
        self._speech.reset_states()
        for chunk in _chunks(sound):
            padded = np.pad(chunk, (0, _CHUNK - len(chunk)))
            with torch.inference_mode():
                score = self._speech(torch.from_numpy(padded)[None], SAMPLE_RATE_HZ).item()
            yield chunk, np.full(len(chunk), score > self.config.speech_threshold, np.float32)

    def _features(self, samples: Samples) -> NDArray[np.float32]:
        length = round(self.config.window_s * SAMPLE_RATE_HZ)
        padded = np.pad(samples, (0, length - len(samples)))  # a last window is filled up with silence
        values: NDArray[np.float32] = self._smile.process_signal(padded, SAMPLE_RATE_HZ).to_numpy(np.float32)[0]
        assert values.shape == (NUM_FEATURES,), values.shape
        return values


def _chunks(sound: Iterable[Samples]) -> Iterator[Samples]:
    held = np.zeros(0, np.float32)
    for piece in sound:
        held = np.concatenate([held, piece])
        whole = len(held) // _CHUNK * _CHUNK
        yield from held[:whole].reshape(-1, _CHUNK)
        held = held[whole:]
    if len(held):
        yield held


def _cut(sound: Iterable[tuple[Samples, Samples]], config: SoundConfig) -> Iterator[_Window]:
    """Yield a window for every hop that adds sound which no earlier window holds."""
    length, hop = round(config.window_s * SAMPLE_RATE_HZ), round(config.hop_s * SAMPLE_RATE_HZ)
    held = np.zeros((2, 0), np.float32)
    number = 0
    for piece in sound:
        held = np.concatenate([held, np.stack(piece)], axis=1)
        while held.shape[1] >= length:
            yield number, held[0, :length], held[1, :length]
            held = held[:, hop:]
            number += 1
    if held.shape[1] > (length - hop if number else 0):
        yield number, held[0], held[1]


def _batches(windows: Iterator[_Window]) -> Iterator[list[_Window]]:
    batch: list[_Window] = []
    for window in windows:
        batch.append(window)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _level_dbfs(samples: Samples) -> float | None:
    if len(samples) == 0 or float(np.abs(samples).max()) < _SILENCE:
        return None
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64))))
