"""Labelled speech clips, read from the data formats that the README lists."""

import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from blake3 import blake3
from numpy.typing import NDArray

from moodreel.schemas.config import SAMPLE_RATE_HZ
from moodreel.schemas.labels import LABELS
from moodreel.tasks.learning.tables import read_parquet
from moodreel.tasks.sound import Samples

# folders and corpora name the same expression differently; what is named otherwise lies outside the seven
SPELLINGS = {
    "anger": "angry",
    "fearful": "fear",
    "happiness": "happy",
    "sadness": "sad",
    "surprised": "surprise",
}
_AUDIO = {".wav", ".flac", ".ogg", ".mp3"}


@dataclass(frozen=True, slots=True)
class LabelledClips:
    """Speech with labels.

    Attributes:
        sounds: n arrays (num_samples,) float32 of 16 kHz mono.
        labels: (n,) int64 index into LABELS.
        corpora: (n,) names of the files or folders that they come from.
        speakers: (n,) names, each with its corpus before it, so that none occurs in two; "" where nobody is named.
        sexes: (n,) "female", "male", or "" where it is not said.
        skipped: by the label that is not one of the seven, how many clips are left out for it.
    """

    sounds: list[Samples]
    labels: NDArray[np.int64]
    corpora: NDArray[np.str_]
    speakers: NDArray[np.str_]
    sexes: NDArray[np.str_]
    skipped: dict[str, int]

    def __post_init__(self) -> None:
        n = len(self.sounds)
        got = {self.labels.shape, self.corpora.shape, self.speakers.shape, self.sexes.shape}
        if got != {(n,)}:
            raise ValueError(f"expected {n} of everything; got the shapes {sorted(got)}")

    @property
    def num_skipped(self) -> int:
        """All clips that are left out."""
        return sum(self.skipped.values())

    @property
    def is_copy(self) -> None:
        """Which of them a network learnt from: the data don't say."""
        return None


def read_labelled_clips(source: Path) -> LabelledClips:
    """Read sounds and labels; every sound is decoded, averaged to mono and resampled to 16 kHz.

    Args:
        source: Parquet with `flac`, `label7` (NULL lies outside the seven) and perhaps `speaker` and `sex`; a folder
            of such files, one a corpus; or a folder of folders named by label with audio files.

    Raises:
        ValueError: nothing usable is there, or a sound is broken.
    """
    if not source.exists():
        raise ValueError(f"{source}: no such file or folder")
    tables = sorted(source.glob("*.parquet")) if source.is_dir() else [source]
    rows = [row for table in tables for row in _table_rows(table)] if tables else _folder_rows(source)
    usable = [row for row in rows if row.label in LABELS]
    if not usable:
        raise ValueError(f"{source} holds no clip labelled with one of {', '.join(LABELS)}")
    return LabelledClips(
        sounds=[_decode(row) for row in usable],
        labels=np.array([LABELS.index(row.label) for row in usable], np.int64),
        corpora=np.array([row.corpus for row in usable]),
        speakers=np.array([f"{row.corpus} {row.speaker}" if row.speaker else "" for row in usable]),
        sexes=np.array([row.sex for row in usable]),
        skipped=dict(Counter(row.label for row in rows if row.label not in LABELS)),
    )


@dataclass(frozen=True, slots=True)
class _Row:
    origin: str  # where a user finds it
    sound: bytes
    label: str
    corpus: str
    speaker: str = ""
    sex: str = ""


def _table_rows(source: Path) -> list[_Row]:
    table = read_parquet(source)
    if not {"flac", "label7"} <= set(table.column_names):
        raise ValueError(f"{source} needs the columns flac and label7; it has {', '.join(table.column_names)}")
    rows: list[dict[str, Any]] = table.to_pylist()
    return [
        _Row(
            origin=f"{source}, row {number} (the first is 0)",
            sound=row["flac"] or b"",
            label=row["label7"] or "",
            corpus=source.stem,
            speaker=_text(row.get("speaker")),
            sex=_text(row.get("sex")),
        )
        for number, row in enumerate(rows)
    ]


def _text(value: object) -> str:
    """Return a cell as text; a speaker numbered 0 has a name."""
    return "" if value is None else str(value)


def _folder_rows(source: Path) -> list[_Row]:
    files = sorted(path for path in source.glob("*/*") if path.suffix.lower() in _AUDIO)
    names = [path.parent.name.lower() for path in files]
    return [
        _Row(str(path), path.read_bytes(), SPELLINGS.get(name, name), source.resolve().name)
        for path, name in zip(files, names, strict=True)
    ]


def _decode(row: _Row) -> Samples:
    try:
        values, rate_hz = soundfile.read(io.BytesIO(row.sound), dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise ValueError(f"{row.origin}: the sound can't be decoded ({error.error_string})") from error
    mono = values.mean(axis=1)
    samples: Samples = mono if rate_hz == SAMPLE_RATE_HZ else soxr.resample(mono, rate_hz, SAMPLE_RATE_HZ, "VHQ")
    if len(samples) == 0:
        raise ValueError(f"{row.origin}: the sound is empty")
    return samples.clip(-1, 1)


def digest_clips(clips: LabelledClips) -> str:
    """Return the BLAKE3 of sounds, labels and speakers, hex."""
    digest = blake3()
    for samples in clips.sounds:
        digest.update(len(samples).to_bytes(8, "little"))
        digest.update(samples.tobytes())
    digest.update(repr((clips.labels.tolist(), clips.speakers.tolist(), clips.sexes.tolist())).encode())
    return digest.hexdigest()
