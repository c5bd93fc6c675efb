"""Small labelled pictures for tests of learning and measuring."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from moodreel.schemas.labels import LABELS, NUM_LABELS
from moodreel.tasks.learning.labelled import LabelledFaces


def noise_picture(seed: int, side_px: int = 48) -> bytes:
    """A grey PNG, the same for the same seed."""
    data = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (side_px, side_px), np.uint8)
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


def labelled(labels: Sequence[int], is_copy: Sequence[bool] | None = None) -> LabelledFaces:
    """Noise with the given labels, which nobody voted on."""
    n = len(labels)
    return LabelledFaces(
        images=[noise_picture(seed) for seed in range(n)],
        labels=np.array(labels, np.int64),
        votes=np.zeros((n, NUM_LABELS), np.float32),
        is_agreed=np.zeros(n, np.bool_),
        is_copy=None if is_copy is None else np.array(is_copy, np.bool_),
        skipped={},
    )


def write_faces(path: Path, names: Sequence[str] = LABELS * 2, splits: Sequence[str] = ()) -> Path:
    """A Parquet file of noise with the given label names, and splits if there are any."""
    columns = {"png": [noise_picture(seed) for seed in range(len(names))], "label_name": list(names)}
    pq.write_table(pa.table({**columns, **({"split": list(splits)} if splits else {})}), path)
    return path


def guesses(labels: Sequence[int], sureness: float = 0.7) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Probabilities that give each face the label, as surely as told."""
    table = np.full((len(labels), NUM_LABELS), (1 - sureness) / (NUM_LABELS - 1), np.float32)
    table[np.arange(len(labels)), labels] = sureness
    return table
