"""Crops to probabilities of the seven expressions."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from moodreel.models.inference import Backend, Classified, classify, load_classifier
from moodreel.models.registry import picture_model, read_manifest
from moodreel.schemas.labels import LABELS
from moodreel.schemas.manifest import ImageInput


class EmotionClassifier:
    """A registered face model, loaded once, and the one whose deep features it takes if it sees no pictures itself.

    Attributes:
        manifest: its own.
        input: how a crop becomes the input of the network that sees it.
    """

    def __init__(self, name: str, backend: Backend = "auto") -> None:
        self.manifest = read_manifest(name)
        seeing = picture_model(self.manifest)
        self.input = seeing.image_input()
        self._reader = None if seeing == self.manifest else EmotionClassifier(seeing.name, backend)
        self._run = load_classifier(self.manifest, backend)

    def classify(self, crops: list[Image.Image], crop_margin: float) -> Classified:
        """Return what the model says of n crops, and their deep features.

        Args:
            crops: square RGB pictures of faces.
            crop_margin: what they were cut with; the model takes as much of it as its manifest says.
        """
        if self._reader is not None:
            features = self._reader.classify(crops, crop_margin).features
            return classify(self._run, self.manifest, single_frames(features))
        images = [prepare_crop(crop, crop_margin, self.input) for crop in crops]
        side = self.input.side_px
        stacked = np.stack(images) if images else np.zeros((0, 3, side, side), np.float32)
        return classify(self._run, self.manifest, stacked)

    def probabilities(self, crops: list[Image.Image], crop_margin: float) -> NDArray[np.float32]:
        """Return the (n, 7) probabilities alone, in the order of LABELS; see `classify`."""
        return self.classify(crops, crop_margin).probabilities


def single_frames(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the (n, 2 d) vectors of (n, d) deep features of as many single frames: means, and spreads of 0."""
    return np.concatenate([features, np.zeros_like(features)], axis=1)


def prepare_crop(crop: Image.Image, crop_margin: float, wanted: ImageInput) -> NDArray[np.float32]:
    """Turn a crop into a network's (3, side, side) float32 input."""
    keep = min(1.0, (1 + wanted.margin) / (1 + crop_margin)) * crop.width
    edge = (crop.width - keep) / 2
    picture = crop.convert("L") if wanted.colour == "grey" else crop
    picture = picture.resize(
        (wanted.source_px, wanted.source_px), Image.Resampling.BILINEAR, (edge, edge, edge + keep, edge + keep)
    )
    picture = picture.resize((wanted.side_px, wanted.side_px), Image.Resampling.BILINEAR)
    values = (np.asarray(picture, np.float32) / np.float32(255) - np.float32(wanted.mean)) / np.float32(wanted.std)
    channels: NDArray[np.float32] = (
        np.broadcast_to(values, (3, *values.shape)) if values.ndim == 2 else values.transpose(2, 0, 1)
    )
    return channels


def emotion_rows(probabilities: NDArray[np.float32], is_open: NDArray[np.bool_] | None = None) -> pa.Table:
    """Return the seven probabilities and the label as columns of a table; NULL where the verdict is left open."""
    columns = {label: pa.array(probabilities[:, i], pa.float32(), mask=is_open) for i, label in enumerate(LABELS)}
    winners = probabilities.argmax(1) if len(probabilities) else []
    names = np.array([LABELS[i] for i in winners], np.object_)
    return pa.table({**columns, "label": pa.array(names, pa.string(), mask=is_open)})


def feature_rows(features: NDArray[np.float32]) -> pa.Table:
    """Return (n, k) features as a table's column of lists."""
    values = pa.FixedSizeListArray.from_arrays(pa.array(features.ravel(), pa.float32()), features.shape[1])
    return pa.table({"features": values.cast(pa.list_(pa.float32()))})
