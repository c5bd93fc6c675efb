"""FER2013 as its makers handed it out: one CSV with a number for the expression, the pixels as text, and the usage."""

import io
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
from PIL import Image
from pyarrow import csv

from moodreel.schemas.labels import LABELS

_SPLITS: Final = {"Training": "train", "PublicTest": "public_test", "PrivateTest": "private_test"}
_SIDE_PX: Final = 48


def read_fer2013_csv(source: Path, split: str | None) -> pd.DataFrame:
    """Return a row for each picture with `png`, `label_name` (NULL if it is none of 0..6), `split` and `copy_in_train`.

    The numbers of the expressions are the order of LABELS. A test picture is a copy if a training picture of the file
    has the same pixels. The index is the number of the row in the file.

    Args:
        source: the CSV file.
        split: keep the rows of this split only; None keeps all.

    Raises:
        ValueError: it is no such file, or a row's pixels are not 48 x 48 numbers of 0..255.
    """
    try:
        table = csv.read_csv(source).to_pandas()
    except pa.ArrowInvalid as error:
        raise ValueError(f"{source} is no CSV file: {error}") from error
    table.columns = table.columns.str.strip()  # one of the copies in circulation has " Usage" and " pixels"
    if not {"emotion", "pixels", "Usage"} <= set(table.columns):
        raise ValueError(f"{source} needs the columns emotion, pixels and Usage; it has {', '.join(table.columns)}")
    table["split"] = table["Usage"].str.strip().map(_SPLITS)
    is_train = table["split"] == "train"
    table["copy_in_train"] = table["pixels"].isin(table["pixels"][is_train]) & ~is_train
    if split is not None:
        table = table[table["split"] == split]
    return pd.DataFrame(
        {
            "png": [_as_png(text, f"{source}, row {row} (the first is 0)") for row, text in table["pixels"].items()],
            "label_name": table["emotion"].map(dict(enumerate(LABELS))),
            "split": table["split"],
            "copy_in_train": table["copy_in_train"],
        },
        index=table.index,
    )


def _as_png(text: object, origin: str) -> bytes:
    try:
        pixels = np.array(str(text).split(), np.int64)
    except ValueError:
        pixels = np.empty(0, np.int64)
    if pixels.shape != (_SIDE_PX**2,) or pixels.min() < 0 or pixels.max() > 255:
        raise ValueError(f"{origin}: the pixels are not {_SIDE_PX**2} numbers of 0..255")
    data = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8).reshape(_SIDE_PX, _SIDE_PX)).save(data, "PNG", compress_level=1)
    return data.getvalue()
