"""Labelled face pictures, read from the data formats that the README lists."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from moodreel.schemas.labels import LABELS, NUM_LABELS

# FER+'s vote columns in the order of LABELS; contempt, unknown and "not a face" have no place among the seven
VOTE_COLUMNS = ("fp_anger", "fp_disgust", "fp_fear", "fp_happiness", "fp_sadness", "fp_surprise", "fp_neutral")


@dataclass(frozen=True, slots=True)
class LabelledFaces:
    """Pictures with labels.

    Attributes:
        images: encoded PNG or JPEG bytes, n of them.
        labels: (n,) int64 index into LABELS.
        votes: (n, 7) float32 share of the taggers per label; a row of zeros where nobody voted.
        is_copy: (n,) bool, the exact pixels are also among the training pictures.
        num_skipped: rows left out because their label is not one of the seven.
    """

    images: list[bytes]
    labels: NDArray[np.int64]
    votes: NDArray[np.float32]
    is_copy: NDArray[np.bool_]
    num_skipped: int

    def __post_init__(self) -> None:
        n = len(self.images)
        got = (self.labels.shape, self.votes.shape, self.is_copy.shape)
        if got != ((n,), (n, NUM_LABELS), (n,)):
            raise ValueError(f"expected shapes ({n},), ({n}, {NUM_LABELS}), ({n},); got {got}")


def read_labelled_faces(source: Path, split: str | None = None) -> LabelledFaces:
    """Read pictures and labels from a Parquet file or from a folder of class folders.

    Args:
        source: Parquet with `png` or `jpeg`, `label_name` and perhaps `split`, or a folder of folders named by label.
        split: keep the rows of this split only; None keeps all.

    Raises:
        ValueError: nothing usable is there, or the split does not exist.
    """
    rows = _folder_rows(source) if source.is_dir() else _parquet_rows(source, split)
    usable = [row for row in rows if row[1] in LABELS]
    if not usable:
        raise ValueError(f"{source} holds no picture labelled with one of {', '.join(LABELS)}")
    return LabelledFaces(
        images=[row[0] for row in usable],
        labels=np.array([LABELS.index(row[1]) for row in usable], np.int64),
        votes=np.stack([row[2] for row in usable]),
        is_copy=np.array([row[3] for row in usable], np.bool_),
        num_skipped=len(rows) - len(usable),
    )


def decode_grey(images: list[bytes], side_px: int) -> NDArray[np.uint8]:
    """Decode pictures to (n, side, side) uint8 grey."""
    out = np.empty((len(images), side_px, side_px), np.uint8)
    for slot, data in zip(out, images, strict=True):
        picture = Image.open(io.BytesIO(data)).convert("L")
        if picture.size != (side_px, side_px):
            picture = picture.resize((side_px, side_px), Image.Resampling.BILINEAR)
        slot[:] = np.asarray(picture)
    return out


_Row = tuple[bytes, str, NDArray[np.float32], bool]


def _parquet_rows(source: Path, split: str | None) -> list[_Row]:
    if not source.is_file():
        raise ValueError(f"{source}: no such file or folder")
    table = pq.read_table(source).to_pandas()
    if split is not None:
        if "split" not in table or not (table["split"] == split).any():
            raise ValueError(f"{source} has no split {split!r}")
        table = table[table["split"] == split]
    picture = "png" if "png" in table else "jpeg"
    if picture not in table or "label_name" not in table:
        raise ValueError(f"{source} needs the columns label_name and png or jpeg; it has {', '.join(table.columns)}")
    votes = np.zeros((len(table), NUM_LABELS), np.float32)
    if set(VOTE_COLUMNS) <= set(table.columns):
        votes = table[list(VOTE_COLUMNS)].fillna(0).to_numpy(np.float32)
        votes = votes / np.maximum(votes.sum(axis=1, keepdims=True), 1)
    copies = table["copy_in_train"].fillna(False) if "copy_in_train" in table else [False] * len(table)
    return list(zip(table[picture], table["label_name"].astype(str), votes, map(bool, copies), strict=True))


def _folder_rows(source: Path) -> list[_Row]:
    no_votes = np.zeros(NUM_LABELS, np.float32)
    files = sorted(path for path in source.glob("*/*") if path.suffix.lower() in {".png", ".jpg", ".jpeg"})
    return [(path.read_bytes(), path.parent.name, no_votes, False) for path in files]
