"""Labelled face pictures, read from the data formats that the README lists."""

import io
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from moodreel.schemas.labels import LABELS, NUM_LABELS
from moodreel.tasks.learning.fer2013_csv import read_fer2013_csv
from moodreel.tasks.learning.tables import read_parquet

# FER+'s vote columns in the order of LABELS, and its answers outside the seven: contempt, unknown, not a face
VOTE_COLUMNS = ("fp_anger", "fp_disgust", "fp_fear", "fp_happiness", "fp_sadness", "fp_surprise", "fp_neutral")
OTHER_VOTE_COLUMNS = ("fp_contempt", "fp_unknown", "fp_nf")
# all that Pillow and NULL give
_NO_PICTURE = (OSError, SyntaxError, ValueError, TypeError, struct.error, Image.DecompressionBombError)


@dataclass(frozen=True, slots=True)
class LabelledFaces:
    """Pictures with labels.

    Attributes:
        images: encoded PNG or JPEG bytes, n of them.
        labels: (n,) int64 index into LABELS.
        votes: (n, 7) float32 share of the taggers' votes for the seven; a row of zeros where nobody voted so.
        is_agreed: (n,) bool, one of the seven got more votes than any other answer.
        is_copy: (n,) bool, it is a training picture or has the exact pixels of one; None where the data don't say.
        skipped: by the label that is not one of the seven, how many rows are left out for it.
    """

    images: list[bytes]
    labels: NDArray[np.int64]
    votes: NDArray[np.float32]
    is_agreed: NDArray[np.bool_]
    is_copy: NDArray[np.bool_] | None
    skipped: dict[str, int]

    def __post_init__(self) -> None:
        n = len(self.images)
        copies = (n,) if self.is_copy is None else self.is_copy.shape
        got = (self.labels.shape, self.votes.shape, self.is_agreed.shape, copies)
        if got != ((n,), (n, NUM_LABELS), (n,), (n,)):
            raise ValueError(f"expected shapes ({n},), ({n}, {NUM_LABELS}), ({n},), ({n},); got {got}")

    @property
    def num_skipped(self) -> int:
        """All rows that are left out."""
        return sum(self.skipped.values())

    def pick(self, chosen: NDArray[np.int64]) -> "LabelledFaces":
        """Return the faces at (m,) places, in that order."""
        return LabelledFaces(
            images=[self.images[place] for place in chosen],
            labels=self.labels[chosen],
            votes=self.votes[chosen],
            is_agreed=self.is_agreed[chosen],
            is_copy=None if self.is_copy is None else self.is_copy[chosen],
            skipped=self.skipped,
        )


def read_labelled_faces(source: Path, split: str | None = None) -> LabelledFaces:
    """Read pictures and labels, and check that every picture can be decoded.

    Args:
        source: Parquet with `png` or `jpeg`, `label_name` and perhaps `split`; FER2013's own CSV; or a folder of
            folders named by label, which may lie in folders named by split.
        split: keep the rows of this split only; None keeps all.

    Raises:
        ValueError: nothing usable is there, the split does not exist, or a picture is broken.
    """
    if source.is_dir():
        rows = _folder_rows(source, split)
    elif not source.is_file():
        raise ValueError(f"{source}: no such file or folder")
    else:
        rows = _table_rows(source, split)
    usable = [row for row in rows if row.label in LABELS]
    if not usable:
        raise ValueError(f"{source} holds no picture labelled with one of {', '.join(LABELS)}")
    for row in usable:
        _refuse_broken(row)
    return LabelledFaces(
        images=[row.image for row in usable],
        labels=np.array([LABELS.index(row.label) for row in usable], np.int64),
        votes=np.stack([row.votes for row in usable]),
        is_agreed=np.array([row.is_agreed for row in usable], np.bool_),
        is_copy=None if usable[0].is_copy is None else np.array([row.is_copy for row in usable], np.bool_),
        skipped=dict(Counter(row.label for row in rows if row.label not in LABELS)),
    )


def labelled_by_votes(faces: LabelledFaces) -> LabelledFaces:
    """Return the faces under the commonest answer of FER+'s taggers (arXiv 1608.01041 calls that majority voting).

    Faces whose commonest answer is none of the seven, or several at once, are skipped.

    Raises:
        ValueError: no face is left.
    """
    chosen = np.flatnonzero(faces.is_agreed)
    if not len(chosen):
        raise ValueError(f"no face has a commonest answer of taggers; votes are columns {', '.join(VOTE_COLUMNS)}")
    agreed = faces.pick(chosen)
    undecided = {"no commonest answer of the seven": len(faces.images) - len(chosen)}
    return replace(agreed, labels=agreed.votes.argmax(1), skipped=faces.skipped | undecided)


def refuse_missing_classes(labels: NDArray[np.int64], source: Path, kind: str = "training picture") -> None:
    """Check that a network can learn all seven from these (n,) labels.

    Raises:
        ValueError: a label has no example.
    """
    missing = [label for i, label in enumerate(LABELS) if not (labels == i).any()]
    if missing:
        raise ValueError(f"{source} has no {kind} of {', '.join(missing)}; all seven are needed")


def decode_grey(images: list[bytes], side_px: int) -> NDArray[np.uint8]:
    """Decode pictures to (n, side, side) uint8 grey."""
    out = np.empty((len(images), side_px, side_px), np.uint8)
    for slot, data in zip(out, images, strict=True):
        picture = Image.open(io.BytesIO(data)).convert("L")
        if picture.size != (side_px, side_px):
            picture = picture.resize((side_px, side_px), Image.Resampling.BILINEAR)
        slot[:] = np.asarray(picture)
    return out


@dataclass(frozen=True, slots=True)
class _Row:
    origin: str  # where a user finds it
    image: bytes
    label: str
    votes: NDArray[np.float32]
    is_agreed: bool
    is_copy: bool | None


def _table_rows(source: Path, split: str | None) -> list[_Row]:
    table = read_fer2013_csv(source, split) if source.suffix.lower() == ".csv" else read_parquet(source).to_pandas()
    picture = "png" if "png" in table else "jpeg"
    if picture not in table or "label_name" not in table:
        raise ValueError(f"{source} needs the columns label_name and png or jpeg; it has {', '.join(table.columns)}")
    if split is not None:
        if "split" not in table or not (table["split"] == split).any():
            raise ValueError(f"{source} has no split {split!r}")
        table = table[table["split"] == split]
    columns = (table.index, table[picture], table["label_name"].astype(str), *_votes(table), _copies(table))
    return [
        _Row(f"{source}, row {number} (the first is 0)", image, label, votes, bool(is_agreed), is_copy)
        for number, image, label, votes, is_agreed, is_copy in zip(*columns, strict=True)
    ]


def _votes(table: pd.DataFrame) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the shares of the seven in the votes for them, and where one of them is the commonest answer of all."""
    if not set(VOTE_COLUMNS) <= set(table.columns):
        return np.zeros((len(table), NUM_LABELS), np.float32), np.zeros(len(table), np.bool_)
    seven = table[list(VOTE_COLUMNS)].fillna(0).to_numpy(np.float32)
    others = table[[name for name in OTHER_VOTE_COLUMNS if name in table]].fillna(0).to_numpy(np.float32)
    most = seven.max(axis=1)
    is_agreed = ((seven == most[:, None]).sum(axis=1) == 1) & (most > others.max(axis=1, initial=0))
    return seven / np.maximum(seven.sum(axis=1, keepdims=True), 1), is_agreed


def _copies(table: pd.DataFrame) -> Sequence[bool | None]:
    if "copy_in_train" not in table:
        return [None] * len(table)
    is_copy = table["copy_in_train"].fillna(False).astype(bool)
    known: list[bool] = (is_copy | (table["split"] == "train") if "split" in table else is_copy).tolist()
    return known


def _folder_rows(source: Path, split: str | None) -> list[_Row]:
    if split is not None and not (source / split).is_dir():
        raise ValueError(f"{source} has no split {split!r}: no folder of that name is in it")
    folder = source / split if split is not None else source
    no_votes = np.zeros(NUM_LABELS, np.float32)
    files = sorted(path for path in folder.glob("*/*") if path.suffix.lower() in {".png", ".jpg", ".jpeg"})
    return [_Row(str(path), path.read_bytes(), path.parent.name, no_votes, False, None) for path in files]


def _refuse_broken(row: _Row) -> None:
    try:
        Image.open(io.BytesIO(row.image)).load()
    except _NO_PICTURE as error:
        raise ValueError(f"{row.origin}: the picture can't be decoded ({error})") from error
