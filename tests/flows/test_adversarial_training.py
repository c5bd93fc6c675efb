"""`moodreel train` with GAN-SGDMA's recipes at debug size: what they leave behind, and what it is good for."""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from stripes import write_stripes

from moodreel.flows.evaluation import run_evaluation
from moodreel.flows.training import run_training
from moodreel.flows.training_order import TrainingOrder
from moodreel.models import registry
from moodreel.models.card import card
from moodreel.models.registry import picture_model, read_manifest
from moodreel.schemas.manifest import Manifest, VectorInput
from moodreel.schemas.training import Adversarial
from moodreel.tasks.learning.recipes import RECIPES

SMALL = {"is_debug": True, "num_epochs": 1, "batch_size": 16, "distillation": None}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stripes(tmp_path_factory.mktemp("data") / "stripes.parquet", 70)


def train(recipe: str, data: Path, folder: Path, resume: bool = False) -> Manifest:
    run_training(TrainingOrder(recipe, data, folder / "run", folder / "w", resume))
    return Manifest.model_validate(tomllib.loads((folder / "run" / f"{recipe}.toml").read_text()))


@pytest.fixture(scope="module")
def deep_model(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Manifest]]:
    """A vector model that was trained by its recipe, registered."""
    folder, source = tmp_path_factory.mktemp("deep"), read_manifest("inception-resnet-v2")
    config = RECIPES["gan-sgdma-deep"]().model_copy(update=SMALL | {"is_debug": False})  # what is registered is whole
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, "gan-sgdma-deep", lambda: config)
        manifest = train("gan-sgdma-deep", data, folder)
        for path in (registry.MANIFESTS / f"{source.name}.toml", registry.WEIGHTS / source.weights):
            (folder / "run" / path.name).symlink_to(path)
        patch.setattr(registry, "MANIFESTS", folder / "run")
        patch.setattr(registry, "WEIGHTS", folder / "run")
        patch.setattr(registry, "REGISTERED", (source.name, manifest.name))
        read_manifest.cache_clear()
        yield folder, manifest
    read_manifest.cache_clear()


def test_a_vector_models_manifest_says_what_it_takes(deep_model: tuple[Path, Manifest]) -> None:
    _, manifest = deep_model
    source = read_manifest("inception-resnet-v2")
    assert manifest.input == VectorInput(length=3072, source=source.model_id, num_frames=1)
    assert manifest.num_features is None and not manifest.denoising
    assert f"3072 values: the mean of each deep feature of `{source.model_id}` over one frame" in card(manifest)


def test_a_resumed_run_reads_the_features_no_second_time(deep_model: tuple[Path, Manifest], data: Path) -> None:
    folder, manifest = deep_model
    kept = {path: path.stat().st_mtime_ns for path in (folder / "run").glob("features-*.npy")}
    assert len(kept) == 2  # those of both splits
    assert train("gan-sgdma-deep", data, folder, resume=True).sha256 == manifest.sha256
    assert {path: path.stat().st_mtime_ns for path in (folder / "run").glob("features-*.npy")} == kept


def test_evaluate_measures_a_vector_model_as_its_training_did(
    deep_model: tuple[Path, Manifest], data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _, manifest = deep_model
    assert manifest.measured_with.startswith(f"moodreel evaluate {manifest.name} ")
    run_evaluation(manifest.name, data, "public_test", as_grey48=False, by_votes=False, output=None, as_json=True)
    scores = json.loads(capfd.readouterr().out)
    assert scores["accuracy"] == pytest.approx(manifest.metrics["public_test_accuracy"], abs=0.02)  # of bfloat16
    assert scores["temperature"] == manifest.temperature


def test_a_vector_model_takes_no_picture_of_another_models_features(deep_model: tuple[Path, Manifest]) -> None:
    _, manifest = deep_model
    assert picture_model(manifest).name == "inception-resnet-v2"
    several = manifest.model_copy(update={"input": manifest.input.model_copy(update={"num_frames": 4})})
    with pytest.raises(ValueError, match=r"takes 4 frames of a face at once.*deep\.num_frames=1"):
        picture_model(several)
    longer = manifest.model_copy(update={"input": manifest.input.model_copy(update={"length": 3074})})
    with pytest.raises(ValueError, match="takes 3074 values; mean and spread of the 1536 deep features of inception"):
        picture_model(longer)
    unknown = manifest.model_copy(update={"input": manifest.input.model_copy(update={"source": "x-1"})})
    with pytest.raises(ValueError, match="deep features of x-1, which is not registered: register"):
        picture_model(unknown)
    with pytest.raises(ValueError, match="not pictures: name a model that sees them"):
        manifest.image_input()


def test_the_denoisers_psnr_is_in_the_manifest_of_a_frame_model(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms = Adversarial(noise_sigmas=(0.1, 0.3))
    config = RECIPES["gan-sgdma"]().model_copy(update={**SMALL, "adversarial": terms})
    monkeypatch.setitem(RECIPES, "gan-sgdma", lambda: config)
    table = train("gan-sgdma", data, tmp_path).denoising
    assert list(table) == ["0.1", "0.3"]
    assert table["0.1"].noisy_psnr_db == pytest.approx(26.0, abs=0.8)  # 20 log10(2 / 0.1); stripes reach the edges
    assert table["0.3"].noisy_psnr_db < table["0.1"].noisy_psnr_db - 8
    assert 0 < table["0.3"].denoised_psnr_db < 30
