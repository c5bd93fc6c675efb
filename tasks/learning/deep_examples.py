"""Deep features as examples, as GAN-SGDMA's block diagram has it: a frozen network reads faces, another one learns.

An example is the mean and the spread of each feature over the frames of a window. FER2013 has single pictures, no
tracks; for several frames, differently augmented views of one picture stand in for the frames of a track.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from blake3 import blake3
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from moodreel.models.registry import read_manifest
from moodreel.schemas.manifest import VectorInput
from moodreel.schemas.training import DeepFeatures, TrainingConfig
from moodreel.tasks.emotions import EmotionClassifier, single_frames
from moodreel.tasks.learning.examples import Examples, FaceExamples, VectorExamples, soft_targets
from moodreel.tasks.learning.identity import digest_faces
from moodreel.tasks.learning.labelled import LabelledFaces

_FACES_AT_ONCE = 64
Vectors = NDArray[np.float32]
OnFaces = Callable[[int, int], None]


def read_examples(
    faces: LabelledFaces, config: TrainingConfig, folder: Path, on_faces: OnFaces = lambda done, count: None
) -> Examples:
    """Return what a recipe learns from: the pictures, or their deep features.

    Args:
        faces: the pictures.
        config: the recipe.
        folder: where deep features are kept, made if need be.
        on_faces: called with the number of faces that were read so far, and of all; not without deep features.

    Raises:
        ValueError: the model that reads the features is not registered, or has none.
    """
    if config.deep is None:
        return FaceExamples(faces, config)
    vectors = _kept_vectors(faces, config, config.deep, folder, on_faces)
    return VectorExamples(vectors, faces.labels, soft_targets(faces.labels, faces.votes, config.vote_share))


def describe_vectors(deep: DeepFeatures) -> VectorInput:
    """Return what the vectors of a recipe are.

    Raises:
        ValueError: the model that reads the features is not registered, or has none.
    """
    manifest = read_manifest(deep.model)
    if manifest.num_features is None:
        raise ValueError(f"{deep.model} gives no deep features; `moodreel models` says which model does")
    return VectorInput(length=2 * manifest.num_features, source=manifest.model_id, num_frames=deep.num_frames)


def read_vectors(faces: LabelledFaces, config: TrainingConfig, deep: DeepFeatures) -> Iterator[Vectors]:
    """Give the (n, 2 d) vectors of all faces in turn, some dozens at a time, read by the code that analyses videos.

    One frame is the picture as it is measured, so that the spread is 0; more are drawn as training pictures are.
    """
    classifier, pictures = EmotionClassifier(deep.model), FaceExamples(faces, config)
    generator = torch.Generator().manual_seed(config.seed)
    for first in range(0, len(faces.labels), _FACES_AT_ONCE):
        chosen = torch.arange(first, min(first + _FACES_AT_ONCE, len(faces.labels)))
        owners = chosen.repeat_interleave(deep.num_frames)
        if deep.num_frames == 1:
            views = pictures.plain(slice(first, first + len(chosen)))
        else:
            views = pictures.draw(owners, generator).inputs
        features = classifier.classify(_as_crops(views), classifier.input.margin).features
        is_single = deep.num_frames == 1
        yield single_frames(features) if is_single else window_features(features, owners.double().numpy(), 1.0)


def window_features(features: Vectors, times_s: NDArray[np.float64], window_s: float) -> Vectors:
    """Sum up the deep features of one track, as `face_features` has them, window by window.

    Args:
        features: (m, d) float32, those of the track's faces in any order.
        times_s: (m,) the faces' presentation times.
        window_s: length of a window; one begins at every multiple of it.

    Returns:
        (k, 2 d) float32: means and standard deviations over each of the k windows that hold a face, in order of time.

    Raises:
        ValueError: the window has no length, or features and times are not equally many.
    """
    if window_s <= 0:
        raise ValueError(f"a window lasts longer than {window_s:g} s")
    if times_s.shape != features.shape[:1]:
        raise ValueError(f"expected times ({len(features)},), got {times_s.shape}")
    order = np.argsort(times_s, kind="stable")
    values = features[order].astype(np.float64)
    _, firsts, counts = np.unique(np.floor(times_s[order] / window_s), return_index=True, return_counts=True)
    means = np.add.reduceat(values, firsts) / counts[:, None]
    squares = np.square(values - means.repeat(counts, axis=0))
    spreads = np.sqrt(np.add.reduceat(squares, firsts) / counts[:, None])
    return np.concatenate([means, spreads], axis=1).astype(np.float32)


def _kept_vectors(
    faces: LabelledFaces, config: TrainingConfig, deep: DeepFeatures, folder: Path, on_faces: OnFaces
) -> Vectors:
    """Read the vectors once; the file's name says what they were made of, so that others are never taken for them."""
    path = folder / f"features-{_digest(faces, config, deep)}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        temporary, count = path.with_suffix(".tmp"), len(faces.labels)
        shape = (count, describe_vectors(deep).length)
        vectors = np.lib.format.open_memmap(temporary, "w+", np.float32, shape)
        done = 0
        for part in read_vectors(faces, config, deep):
            vectors[done : done + len(part)] = part
            done += len(part)
            on_faces(done, count)
        vectors.flush()
        os.replace(temporary, path)
    kept: Vectors = np.load(path, mmap_mode="c")  # read from disk as needed; a tensor over it wants to be writable
    return kept


def _digest(faces: LabelledFaces, config: TrainingConfig, deep: DeepFeatures) -> str:
    views = {"augmentation": config.augmentation.model_dump(), "seed": config.seed} if deep.num_frames > 1 else {}
    made_of = {
        "faces": digest_faces(faces),
        "input": describe_vectors(deep).model_dump(),
        "px": [config.source_px, config.input_px],
        **views,
    }
    return blake3(json.dumps(made_of).encode()).hexdigest(length=8)


def _as_crops(views: Tensor) -> list[Image.Image]:
    """Turn (n, 3, s, s) grey pixels in -1..1 into pictures like those that are cut out of a video."""
    grey = ((views[:, 0] + 1) * 127.5).round().clamp(0, 255).byte().numpy()
    return [Image.fromarray(picture).convert("RGB") for picture in grey]
