"""Recipes of voices as a user trains and measures them, on made voices whose label is their pitch."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from speech import coded, voice, write_speech

from moodreel.flows.cli import EXIT_USAGE, _guarded, app
from moodreel.models.card import card
from moodreel.models.packing import load_weights
from moodreel.schemas.labels import LABELS
from moodreel.schemas.manifest import Manifest
from moodreel.schemas.training import SoundAugmentation
from moodreel.tasks.learning.checkpoint import CHECKPOINT
from moodreel.tasks.learning.folds import NUM_FOLDS
from moodreel.tasks.learning.recipes import RECIPES
from moodreel.tasks.learning.train import METRICS
from moodreel.warehouse.ask import ask

SPEAKERS = [str(number) for number in range(NUM_FOLDS)]
SMALL = {"is_debug": True, "num_epochs": 4, "batch_size": 8}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [(label, number, speaker) for speaker in SPEAKERS for number, label in enumerate(LABELS)]
    return write_speech(
        tmp_path_factory.mktemp("data") / "made.parquet",
        [label for label, _, _ in rows],
        [coded(voice(2.0, 90.0 + 45 * number, seed=int(speaker))) for _, number, speaker in rows],
        [speaker for _, _, speaker in rows],
        ["female" if int(speaker) % 2 else "male" for _, _, speaker in rows],
    )


@pytest.fixture
def moodreel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command line in this process, in an empty folder, with both recipes at debug size and one copy a clip."""
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    for name in ("gan-sgdma-voice", "ser-cnn"):
        config = RECIPES[name]()
        assert config.sound
        augmentation = SoundAugmentation(num_copies=1, pitch_semitones=0.0, speed_share=0.0)
        sound = config.sound.model_copy(update={"augmentation": augmentation})
        small = config.model_copy(update={**SMALL, "sound": sound})
        monkeypatch.setitem(RECIPES, name, lambda config=small: config)

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = _guarded(lambda **mode: app(list(words), **mode))
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["gan-sgdma-voice", "ser-cnn"])
def test_a_voice_recipe_is_measured_on_speakers_it_never_heard_and_then_learns_all(
    recipe: str, data: Path, moodreel: Any, tmp_path: Path
) -> None:
    code, out, _ = moodreel("evaluate", f"{recipe},linear-svm", "--folds", "speaker", "--data", str(data), "--json")
    assert code == 0
    found = json.loads(out)
    assert (found["folds"], found["by"]) == (NUM_FOLDS, "speaker")
    [ours], [baseline] = found["recipes"][recipe], found["recipes"]["linear-svm"]
    for scores in (ours, baseline):
        assert (scores["corpus"], scores["n"], scores["num_speakers"]) == ("made", 42, 6)
        assert 0 <= scores["uar"] <= 1 and set(scores["per_class"]) == set(LABELS)
    assert baseline["uar"] > 0.5  # a pitch is easily heard

    folds = sorted((tmp_path / "runs" / recipe).glob(f"fold-*/{METRICS}"))
    assert len(folds) == NUM_FOLDS
    before = [path.with_name(CHECKPOINT).stat().st_mtime_ns for path in folds]
    code, _, err = moodreel("train", recipe, "--data", str(data))
    assert code == 0, err
    # the folds of `evaluate` are not trained again
    assert [path.with_name(CHECKPOINT).stat().st_mtime_ns for path in folds] == before
    text = (tmp_path / "runs" / recipe / f"{recipe}.toml").read_text(encoding="utf-8")
    manifest = Manifest.model_validate(tomllib.loads(text))
    assert manifest.task == "voice" and manifest.speakers == tuple(f"made {speaker}" for speaker in SPEAKERS)
    assert manifest.metrics["uar"] == pytest.approx(ours["uar"], abs=1e-4)
    assert manifest.measured_with == f"moodreel evaluate {recipe} --folds speaker --data made.parquet"
    assert ("openSMILE" in manifest.licence) == (recipe == "gan-sgdma-voice") and "made" in manifest.licence
    assert manifest.trained_on == "made"
    [training] = ask(Path("warehouse-data"), "SELECT state, model_id FROM trainings").to_pylist()
    assert training == {"state": "completed", "model_id": manifest.model_id}


@pytest.mark.slow
def test_trained_weights_are_a_model_that_hears_windows(data: Path, moodreel: Any, tmp_path: Path) -> None:
    assert moodreel("train", "gan-sgdma-voice", "--data", str(data))[0] == 0
    run = tmp_path / "runs" / "gan-sgdma-voice"
    manifest = Manifest.model_validate(tomllib.loads((run / "gan-sgdma-voice.toml").read_text(encoding="utf-8")))
    wanted = manifest.sound_input()
    assert (wanted.feature_set, wanted.length, wanted.window_s) == ("IS10", 1582, 2.0)
    weights = load_weights(run / manifest.weights, LABELS)
    assert weights["centre"].shape == weights["scale"].shape == (1582,)
    assert wanted.standardised_over > len(LABELS) * len(SPEAKERS)  # changed copies among them
    with pytest.raises(ValueError, match="takes sound"):
        manifest.image_input()
    assert f"over {wanted.standardised_over} windows" in card(manifest)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("evaluate", "small-vgg", "--folds", "speaker"), "no voice recipe 'small-vgg'; there are: gan-sgdma-voice"),
        (("evaluate", "linear-svm", "--folds", "clip"), "only speaker is known"),
        (("evaluate", "linear-svm", "--folds", "speaker", "--split", "x"), "no meaning with --folds"),
        (("evaluate", "linear-svm"), "no model 'linear-svm'"),
        (("train", "gan-sgdma-voice", "--init", "none.safetensors"), "whom the weights of --init may know"),
    ],
)
def test_a_mistake_is_one_line(words: tuple[str, ...], said: str, data: Path, moodreel: Any) -> None:
    code, out, err = moodreel(*words, "--data", str(data))
    assert (code, out, len(err.splitlines())) == (EXIT_USAGE, "", 1)
    assert said in err


@pytest.mark.slow
def test_a_rate_can_be_searched_for_a_voice_recipe(data: Path, moodreel: Any) -> None:
    code, out, _ = moodreel("train", "gan-sgdma-voice", "--data", str(data), "--find-rate")
    assert code == 0 and "try a rate of" in out
