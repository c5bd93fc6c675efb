import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from other_model import NAME, other_model
from pictures import labelled
from PIL import Image
from stripes import stripes

from moodreel.schemas.training import Augmentation, DeepFeatures, Distillation, TrainingConfig
from moodreel.tasks.emotions import EmotionClassifier
from moodreel.tasks.learning.deep_examples import describe_vectors, read_examples, read_vectors, window_features
from moodreel.tasks.learning.examples import FaceExamples
from moodreel.tasks.learning.recipes import RECIPES

WIDTH = 32  # deep features of the debug network
COUNT = 70  # faces, more than are read at once


@pytest.fixture
def registered(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The debug network as a registered model, which reads faces in no time."""
    with other_model(tmp_path_factory.mktemp("models")) as manifest:
        yield manifest


def recipe(num_frames: int = 1, **changes: object) -> TrainingConfig:
    deep = DeepFeatures(model=NAME, num_frames=num_frames)
    return RECIPES["gan-sgdma-deep-window"]().model_copy(update={"deep": deep, **changes})


def vectors(config: TrainingConfig, count: int = COUNT) -> np.ndarray[Any, np.dtype[np.float32]]:
    assert config.deep
    return np.concatenate(list(read_vectors(stripes(count), config, config.deep)))


def test_one_frame_is_what_a_run_reads_and_has_no_spread(registered: Any) -> None:
    faces = stripes(COUNT)
    crops = [Image.open(io.BytesIO(image)).convert("RGB") for image in faces.images]
    expected = EmotionClassifier(NAME).classify(crops, registered.input.margin).features
    found = vectors(recipe())
    assert found.shape == (COUNT, 2 * WIDTH) and found.dtype == np.float32
    np.testing.assert_array_equal(found[:, :WIDTH], expected)
    assert not found[:, WIDTH:].any()


def test_several_frames_are_views_of_one_face_that_the_seed_decides(registered: Any) -> None:
    one, several, again = (vectors(config) for config in (recipe(), recipe(3), recipe(3)))
    assert (several[:, WIDTH:] > 0).any(axis=1).all()
    np.testing.assert_array_equal(several, again)
    assert not np.array_equal(several, vectors(recipe(3, seed=1)))
    assert not np.array_equal(several, vectors(recipe(3, augmentation=Augmentation())))
    # its views are nearer to a face than other faces are
    own = np.linalg.norm(several[:, :WIDTH] - one[:, :WIDTH], axis=1).mean()
    assert own < 0.5 * np.linalg.norm(several[:, :WIDTH] - np.roll(one[:, :WIDTH], 1, axis=0), axis=1).mean()


def test_examples_are_the_vectors_with_the_faces_labels_and_votes(registered: Any, tmp_path: Path) -> None:
    votes = np.full((COUNT, 7), 1 / 7, np.float32)
    faces = replace(stripes(COUNT), votes=votes)
    found = read_examples(faces, recipe(vote_share=0.7), tmp_path)
    batch = found.draw(torch.tensor([3, 1]), torch.Generator())
    assert np.array_equal(found.labels, faces.labels)
    torch.testing.assert_close(batch.inputs, torch.from_numpy(vectors(recipe()))[[3, 1]])
    torch.testing.assert_close(batch.targets, 0.3 * torch.eye(7)[[3, 1]] + 0.1)
    assert isinstance(read_examples(faces, RECIPES["debug"](), tmp_path / "none"), FaceExamples)
    assert not (tmp_path / "none").exists()


def test_features_are_read_once_for_the_same_faces_model_and_frames(registered: Any, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []

    def read(count: int, config: TrainingConfig) -> list[tuple[int, int]]:
        told.clear()
        read_examples(stripes(count), config, tmp_path, lambda done, total: told.append((done, total)))
        return list(told)

    assert read(COUNT, recipe()) == [(64, COUNT), (COUNT, COUNT)]
    [kept] = tmp_path.iterdir()
    before = kept.stat().st_mtime_ns
    assert read(COUNT, recipe()) == [] and read(COUNT, recipe(seed=1, num_epochs=3)) == []
    assert kept.stat().st_mtime_ns == before
    for number, other in enumerate((recipe(2), recipe(2, seed=1), recipe(source_px=24), recipe(input_px=64)), 2):
        assert read(COUNT, other)
        assert len(list(tmp_path.iterdir())) == number
    assert read(7, recipe()) == [(7, 7)]


def test_features_of_other_weights_are_not_taken_for_these(registered: Any, tmp_path: Path) -> None:
    faces = labelled(range(7))
    read_examples(faces, recipe(), tmp_path)
    [of_one] = tmp_path.iterdir()
    deep = DeepFeatures()
    read_examples(faces, recipe().model_copy(update={"deep": deep}), tmp_path)
    of_one.unlink()
    [of_other] = tmp_path.iterdir()
    assert np.load(of_other).shape == (7, describe_vectors(deep).length) == (7, 3072)


def test_a_kill_while_reading_leaves_nothing_that_is_taken_for_whole(registered: Any, tmp_path: Path) -> None:
    def die(done: int, _: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_examples(stripes(COUNT), recipe(), tmp_path, die)
    assert not list(tmp_path.glob("*.npy"))
    read = read_examples(stripes(COUNT), recipe(), tmp_path)
    assert np.array_equal(read.plain(slice(None)).numpy(), vectors(recipe()))


def test_a_model_that_has_no_features_is_refused(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    with other_model(tmp_path / "models", num_features=None), pytest.raises(ValueError, match="gives no deep features"):
        read_examples(stripes(7), recipe(), tmp_path / "run")
    unknown = recipe().model_copy(update={"deep": DeepFeatures(model="none")})
    with pytest.raises(ValueError, match="no model 'none'"):
        read_examples(stripes(7), unknown, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_teachers_are_refused_beside_deep_features() -> None:
    with pytest.raises(ValueError, match="needs pictures"):
        TrainingConfig.model_validate(
            RECIPES["gan-sgdma-deep"]().model_dump() | {"distillation": Distillation(teachers=("a",))}
        )


def test_the_recipes_are_those_of_one_frame_and_of_several() -> None:
    one, several = RECIPES["gan-sgdma-deep"](), RECIPES["gan-sgdma-deep-window"]()
    assert one.deep and several.deep and one.deep.num_frames == 1 < several.deep.num_frames
    assert one.network == several.network and one.adversarial == several.adversarial is not None
    for config in (one, several):
        assert TrainingConfig.model_validate(config.model_dump()) == config


def test_windows_begin_at_multiples_of_their_length() -> None:
    features = np.array([[1, 10], [3, 10], [5, 40], [9, 0]], np.float32)
    found = window_features(features, np.array([0.1, 1.9, 2.0, 7.5]), 2.0)
    # 0..2 s has two faces, 2..4 one, 4..6 none, 6..8 one
    np.testing.assert_array_equal(found, [[2, 10, 1, 0], [5, 40, 0, 0], [9, 0, 0, 0]])
    assert found.dtype == np.float32
    longer = window_features(features, np.array([0.1, 1.9, 2.0, 7.5]), 4.0)
    np.testing.assert_allclose(longer[0], [3, 20, np.sqrt(8 / 3), np.sqrt(200)], rtol=1e-6)


def test_the_order_of_a_tracks_rows_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    features, times = rng.normal(size=(50, 4)).astype(np.float32), rng.uniform(0, 20, 50)
    order = rng.permutation(50)
    one, other = window_features(features, times, 2.0), window_features(features[order], times[order], 2.0)
    np.testing.assert_allclose(one, other, atol=1e-6)
    for number, vector in zip(np.unique(times // 2), one, strict=True):
        own = features[times // 2 == number]
        np.testing.assert_allclose(vector, [*own.mean(0), *own.std(0)], atol=1e-6)


def test_a_face_alone_keeps_its_features_exactly_and_no_face_makes_no_window() -> None:
    features = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    found = window_features(features, np.array([0.0, 5.0, 9.0]), 1.0)
    np.testing.assert_array_equal(found, np.concatenate([features, np.zeros((3, 5), np.float32)], axis=1))
    assert window_features(features[:0], np.zeros(0), 1.0).shape == (0, 10)


def test_windows_without_length_and_times_without_faces_are_refused() -> None:
    features = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match="longer than 0 s"):
        window_features(features, np.zeros(2), 0.0)
    with pytest.raises(ValueError, match=r"times \(2,\), got \(3,\)"):
        window_features(features, np.zeros(3), 1.0)
