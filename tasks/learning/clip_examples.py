"""What is learnt from clips of speech: rows of openSMILE's features or of MFCCs, and which clip each belongs to."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from blake3 import blake3
from numpy.typing import NDArray

from moodreel.schemas.config import SAMPLE_RATE_HZ, SoundConfig
from moodreel.schemas.labels import NUM_LABELS
from moodreel.schemas.training import Mfccs, SoundFeatures
from moodreel.tasks.acoustics import SoundAnalyst
from moodreel.tasks.learning.checkpoint import write_whole
from moodreel.tasks.learning.clips import LabelledClips
from moodreel.tasks.learning.examples import VectorExamples
from moodreel.tasks.learning.mfccs import read_mfccs
from moodreel.tasks.learning.sound_augment import change_sound
from moodreel.tasks.sound import Samples

_FEW = 32  # clips that are read sooner than processes start
_SEXES = ("female", "male")  # the order of a network that tells them apart
OnClips = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ClipRows:
    """Rows made of some clips.

    Attributes:
        values: (m, ...) float32, windows of features (1582,) or coefficients over time (13, t).
        clips: (m,) int64 place of the clip in its `LabelledClips`, rising.
        copies: (m,) int64, 0 for the clip as it is, else the number of the changed copy.
        is_heard: (m,) bool, enough speech; where no row of a clip has any, all of them.
    """

    values: NDArray[np.float32]
    clips: NDArray[np.int64]
    copies: NDArray[np.int64]
    is_heard: NDArray[np.bool_]


def read_clip_rows(
    clips: LabelledClips,
    sound: SoundFeatures | Mfccs,
    folder: Path,
    seed: int,
    on_clips: OnClips = lambda done, count: None,
) -> ClipRows:
    """Read what a recipe learns from, once: kept in a file whose name says what it was made of.

    Args:
        clips: the clips.
        sound: the recipe's settings.
        folder: where rows are kept, made if need be.
        seed: decides the changed copies.
        on_clips: called with the number of clips that were read so far, and of all; not if they were kept.
    """
    path = folder / f"rows-{_digest(clips, sound, seed)}.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        rows = _read(clips, sound, seed, on_clips)
        write_whole(path, lambda file: _save(file, rows))
    with np.load(path) as kept:
        return ClipRows(kept["values"], kept["clips"], kept["copies"], kept["is_heard"])


def learning_examples(rows: ClipRows, clips: LabelledClips, chosen: NDArray[np.int64], joint: bool) -> VectorExamples:
    """Return the rows with speech of the chosen clips, changed copies among them.

    Args:
        rows: of all clips.
        clips: the clips.
        chosen: places of those to learn from.
        joint: targets (m, 14) of sex and expression, instead of (m, 7) of the expression; a clip whose speaker's sex is
            not said counts half for each.
    """
    own = rows.is_heard & np.isin(rows.clips, chosen)
    return _examples(rows, clips, own, joint)


def plain_examples(rows: ClipRows, clips: LabelledClips, chosen: NDArray[np.int64]) -> VectorExamples:
    """Return all rows of the chosen clips as they are, to measure."""
    return _examples(rows, clips, (rows.copies == 0) & np.isin(rows.clips, chosen), joint=False)


def clip_probabilities(
    rows: ClipRows, chosen: NDArray[np.int64], probabilities: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return (k, 7), one for each of the k chosen clips: the mean over its rows with speech.

    `probabilities` (m, 7) are those of `plain_examples` of the same clips.
    """
    own = (rows.copies == 0) & np.isin(rows.clips, chosen)
    owners, heard = rows.clips[own], rows.is_heard[own]
    return np.stack([probabilities[(owners == clip) & heard].mean(axis=0) for clip in chosen])


def _examples(rows: ClipRows, clips: LabelledClips, own: NDArray[np.bool_], joint: bool) -> VectorExamples:
    owners = rows.clips[own]
    labels = clips.labels[owners]
    targets = torch.eye(NUM_LABELS)[torch.from_numpy(labels)]
    if joint:
        is_sex = [torch.from_numpy((clips.sexes[owners] == sex).astype(np.float32)) for sex in _SEXES]
        unknown = (1 - is_sex[0] - is_sex[1]) / 2
        targets = torch.cat([targets * (one + unknown)[:, None] for one in is_sex], dim=1)
    return VectorExamples(rows.values[own], labels, targets)


def _read(clips: LabelledClips, sound: SoundFeatures | Mfccs, seed: int, on_clips: OnClips) -> ClipRows:
    values, owners, copies, heard = [], [], [], []
    jobs = [(samples, seed * 1_000_003 + number) for number, samples in enumerate(clips.sounds)]
    with _mapper(len(jobs)) as mapped:
        for number, found in enumerate(mapped(partial(_rows_of, sound), jobs)):
            for copy, (rows, is_heard) in enumerate(found):
                values.append(rows)
                owners.append(np.full(len(rows), number))
                copies.append(np.full(len(rows), copy))
                heard.append(is_heard if is_heard.any() else np.ones(len(rows), np.bool_))
            on_clips(number + 1, len(jobs))
    return ClipRows(np.concatenate(values), np.concatenate(owners), np.concatenate(copies), np.concatenate(heard))


@contextmanager
def _mapper(num_jobs: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """Yield a `map` over processes of their own: openSMILE, speech detector and changes of pitch use one processor."""
    if num_jobs < _FEW:
        yield map
        return
    with ProcessPoolExecutor(mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        yield partial(pool.map, chunksize=4)


def _one_thread() -> None:
    torch.set_num_threads(1)


@cache
def _analyst() -> SoundAnalyst:
    return SoundAnalyst(SoundConfig())


def _rows_of(
    sound: SoundFeatures | Mfccs, job: tuple[Samples, int]
) -> list[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Return rows and whether they are heard, of a clip and then of each changed copy."""
    samples, seed = job
    settings = sound.augmentation
    copies = [change_sound(samples, settings, seed * 101 + copy) for copy in range(settings.num_copies)]
    describe = _mfccs if isinstance(sound, Mfccs) else _features
    return [describe(version, sound) for version in (samples, *copies)]  # type: ignore[arg-type]  # one of the two


def _mfccs(samples: Samples, sound: Mfccs) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    return read_mfccs(samples, sound)[None], np.ones(1, np.bool_)


def _features(samples: Samples, sound: SoundFeatures) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    tables = list(_analyst().describe([samples]))
    values = np.concatenate([np.stack(table["features"].to_numpy(zero_copy_only=False)) for table in tables])
    shares = np.concatenate([table["speech_share"].to_numpy() for table in tables])
    return values.astype(np.float32), shares >= sound.min_speech_share


def _digest(clips: LabelledClips, sound: SoundFeatures | Mfccs, seed: int) -> str:
    digest = blake3(json.dumps([sound.model_dump(), SoundConfig().model_dump(), SAMPLE_RATE_HZ, seed]).encode())
    for samples in clips.sounds:
        digest.update(len(samples).to_bytes(8, "little"))
        digest.update(samples.tobytes())
    return digest.hexdigest(length=8)


def _save(path: Path, rows: ClipRows) -> None:
    with path.open("wb") as file:
        np.savez(file, values=rows.values, clips=rows.clips, copies=rows.copies, is_heard=rows.is_heard)
