"""Something that a debug network learns in seconds: pictures whose label is the direction of their stripes."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from moodreel.schemas.labels import LABELS
from moodreel.schemas.training import TrainingConfig
from moodreel.tasks.learning.examples import FaceExamples
from moodreel.tasks.learning.labelled import LabelledFaces
from moodreel.tasks.learning.train import Trained, train_classifier


def stripes(count: int = 112) -> LabelledFaces:
    """The same pictures each time, the seven labels in turn, without votes."""
    rng = np.random.default_rng(3)
    labels = np.arange(count) % 7
    images = []
    y, x = np.mgrid[:48, :48]
    for label in labels:
        angle = label * np.pi / 7
        wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 0.7 + rng.uniform(0, 6))
        data = io.BytesIO()
        Image.fromarray((wave * 100 + 128 + rng.normal(0, 10, (48, 48))).clip(0, 255).astype(np.uint8)).save(
            data, "PNG"
        )
        images.append(data.getvalue())
    return LabelledFaces(images, labels, np.zeros((count, 7), np.float32), np.zeros(count, bool), None, {})


def write_stripes(path: Path, count: int = 140) -> Path:
    """Write them as labelled data with the splits that `train` wants."""
    faces = stripes(count)
    table = {
        "png": faces.images,
        "label_name": [LABELS[label] for label in faces.labels],
        "split": ["train" if index % 5 else "public_test" for index in range(count)],
    }
    pq.write_table(pa.table(table), path)
    return path


def train_on_stripes(out: Path, config: TrainingConfig, **options: Any) -> Trained:
    """Train on one thread, so that the outcome is the same bit for bit."""
    torch.set_num_threads(1)
    examples = FaceExamples(stripes(), config)
    return train_classifier(config, examples, examples, out, **options)


def weights_of(network: torch.nn.Module) -> list[Tensor]:
    """Copies of all weights and statistics."""
    return [tensor.clone() for tensor in network.state_dict().values()]


def are_equal(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    """Whether two networks are the same bit for bit."""
    left, right = weights_of(one), weights_of(other)
    return len(left) == len(right) and all(map(torch.equal, left, right))
