from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from stripes import stripes, train_on_stripes

from moodreel.schemas.labels import LABELS
from moodreel.schemas.training import Augmentation, OneCycle, TrainingConfig
from moodreel.tasks.learning.augment import augment_faces
from moodreel.tasks.learning.checkpoint import CHECKPOINT
from moodreel.tasks.learning.evaluate import score
from moodreel.tasks.learning.export import write_manifest, write_weights
from moodreel.tasks.learning.labelled import decode_grey, read_labelled_faces
from moodreel.tasks.learning.recipes import RECIPES
from moodreel.tasks.learning.train import Trained

DEBUG = RECIPES["debug"]()
FACTS = {
    "version": "1", "licence": "none", "trained_on": "stripes",
    "metrics": {"accuracy": 0.5}, "measured_with": "a test",
}  # fmt: skip


def train_debug(out: Path, config: TrainingConfig = DEBUG, **options: Any) -> Trained:
    return train_on_stripes(out, config, **options)


def test_training_learns(tmp_path: Path) -> None:
    history = train_debug(tmp_path).history
    assert history[-1].losses["class"] < history[0].losses["class"]


def test_a_run_is_not_overwritten_and_not_mixed_with_another_recipe(tmp_path: Path) -> None:
    config = RECIPES["debug"]().model_copy(update={"num_epochs": 1})
    train_debug(tmp_path, config)
    assert (tmp_path / CHECKPOINT).is_file()
    with pytest.raises(ValueError, match="--resume"):
        train_debug(tmp_path, config)
    with pytest.raises(ValueError, match="another recipe"):
        train_debug(tmp_path, config.model_copy(update={"seed": 1}), resume=True)


def test_init_starts_from_given_weights(tmp_path: Path) -> None:
    first = train_debug(tmp_path / "a").network
    config = RECIPES["debug"]().model_copy(update={"num_epochs": 1, "schedule": OneCycle(peak_rate=1e-9)})
    write_weights(first, "debug", tmp_path)
    manifest = write_manifest(first, config, "debug", tmp_path, **FACTS)
    again = train_debug(tmp_path / "b", config, init=tmp_path / manifest.weights).network
    key = "11.weight"
    torch.testing.assert_close(again.state_dict()[key], first.state_dict()[key], atol=1e-2, rtol=0)


@pytest.mark.parametrize("name", sorted(Augmentation.model_fields))
def test_every_augmentation_changes_the_batch(name: str) -> None:
    nothing = Augmentation(**dict.fromkeys(Augmentation.model_fields, 0))
    images = torch.rand(8, 1, 48, 48, generator=torch.Generator().manual_seed(0))

    def augmented(settings: Augmentation) -> torch.Tensor:
        return augment_faces(images, 48, settings, torch.Generator().manual_seed(1))

    torch.testing.assert_close(augmented(nothing), images, atol=1e-4, rtol=0)
    changed = augmented(nothing.model_copy(update={name: {"rotation_deg": 10.0, "crop_pad_px": 4}.get(name, 0.5)}))
    assert (changed - images).abs().max() > 0.05
    assert changed.min() >= 0 and changed.max() <= 1


def test_labelled_faces_from_parquet_and_folders(tmp_path: Path) -> None:
    data = stripes(14)
    names = [LABELS[label] for label in data.labels]
    names[0] = "contempt"
    table = {"png": data.images, "label_name": names, "split": ["train", "test"] * 7, "fp_anger": [5] * 14}
    votes = ("fp_disgust", "fp_fear", "fp_happiness", "fp_sadness", "fp_surprise", "fp_neutral")
    pq.write_table(pa.table({**table, **{vote: [0] * 14 for vote in votes}}), tmp_path / "a.parquet")
    read = read_labelled_faces(tmp_path / "a.parquet", "train")
    assert (len(read.images), read.num_skipped) == (6, 1)
    np.testing.assert_array_equal(read.votes, np.eye(7, dtype=np.float32)[[0] * 6])
    with pytest.raises(ValueError, match="no split 'none'"):
        read_labelled_faces(tmp_path / "a.parquet", "none")

    for name, image in zip(names, data.images, strict=True):
        (tmp_path / "faces" / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "faces" / name / f"{len(list((tmp_path / 'faces' / name).iterdir()))}.png").write_bytes(image)
    folder = read_labelled_faces(tmp_path / "faces")
    assert (len(folder.images), folder.num_skipped) == (13, 1)
    assert decode_grey(folder.images, 24).shape == (13, 24, 24)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no picture"):
        read_labelled_faces(tmp_path / "empty")


def test_scores_of_known_guesses() -> None:
    faces = stripes(14)
    faces = replace(faces, is_copy=np.arange(14) < 7, skipped={"contempt": 2})
    guesses = np.full((14, 7), 0.05, np.float32)
    guesses[np.arange(14), faces.labels] = 0.7
    guesses[0] = np.roll(guesses[0], 1)  # one copy is taken for its neighbour
    scores = score("m", faces, guesses, 1.0)
    assert scores.accuracy == pytest.approx(13 / 14)
    assert scores.accuracy_leak_free == 1.0
    assert scores.uar == pytest.approx((0.5 + 6) / 7)
    assert scores.macro_f1 == pytest.approx((2 / 3 + 4 / 5 + 5) / 7)
    assert scores.ece == pytest.approx(abs(13 / 14 - 0.7), abs=1e-5)
    assert (scores.n, scores.n_skipped, scores.confusion[0][:2]) == (14, 2, [1, 1])
    assert scores.per_class["disgust"] == pytest.approx({"precision": 2 / 3, "recall": 1.0, "f1": 0.8, "n": 2})
