"""The user's own models: what is kept of them, and what a trial lets pass."""

import pickle
import tomllib
from pathlib import Path

import numpy as np
import onnx
import pytest
import tomli_w
import torch
from onnx.external_data_helper import convert_model_to_external_data
from own_models import SIDE_PX, VoiceNetwork, face_network, write_manifest, write_onnx, write_safetensors
from torch import Tensor, nn

from moodreel.models.dry_pass import check_network
from moodreel.models.inference import BATCH, classify, load_classifier, load_network
from moodreel.models.own import (
    own_folder,
    own_names,
    own_weights,
    parse_manifest,
    read_own,
    store_manifest,
    store_weights,
)
from moodreel.models.packing import save_weights
from moodreel.models.registry import REGISTERED, checked_weights, read_manifest, registered
from moodreel.schemas.labels import LABELS
from moodreel.schemas.manifest import Manifest


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MOODREEL_MODELS", str(tmp_path / "own"))
    (tmp_path / "own").mkdir()
    read_manifest.cache_clear()
    return tmp_path / "own"


def store(path: Path) -> Manifest:
    """What `moodreel models add` does, without its trial."""
    manifest = parse_manifest(path.read_bytes(), path)
    store_weights(manifest, path.parent / manifest.weights)
    store_manifest(manifest.name, path.read_bytes())
    return manifest


def trial(path: Path) -> str:
    """What is said against a model."""
    manifest = store(path)
    with pytest.raises(ValueError) as refusal:
        check_network(manifest)
    return str(refusal.value)


def test_the_folder_is_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert own_folder() == tmp_path / "own"
    monkeypatch.delenv("MOODREEL_MODELS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert own_folder() == tmp_path / "data" / "moodreel" / "models"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert own_folder() == tmp_path / ".local" / "share" / "moodreel" / "models"
    assert own_names() == ()  # nobody has made it


def test_own_models_come_after_the_shipped_ones_and_never_in_their_place(folder: Path, tmp_path: Path) -> None:
    store(write_safetensors(tmp_path, face_network()))
    (folder / f"{REGISTERED[0]}.toml").write_text("shadow")
    assert registered() == (*REGISTERED, "mine")
    assert read_manifest(REGISTERED[0]).metrics
    assert read_manifest("mine").labels[0] == "neutral"
    with pytest.raises(ValueError, match=r"registered are: .*mine"):
        read_manifest("none")


def test_weights_are_checked_each_time_and_missing_ones_named(folder: Path, tmp_path: Path) -> None:
    manifest = store(write_safetensors(tmp_path, face_network()))
    assert checked_weights(manifest) == own_weights(manifest) and own_weights(manifest).parent == folder
    own_weights(manifest).write_bytes(b"other")
    with pytest.raises(ValueError, match="sha256"):
        checked_weights(manifest)
    own_weights(manifest).unlink()
    with pytest.raises(ValueError, match="register the model again with `moodreel models add`"):
        checked_weights(manifest)


def test_labels_in_another_order_than_the_weights_say_are_refused(tmp_path: Path) -> None:
    save_weights(face_network().state_dict(), tmp_path / "mine.safetensors")
    path = write_manifest(tmp_path, "mine.safetensors", network="debug-cnn")
    assert "says that its outputs are angry, disgust, fear, happy" in trial(path)
    path = write_manifest(tmp_path, "mine.safetensors", network="debug-cnn", name="other", labels=LABELS)
    check_network(store(path))


def test_weights_that_are_not_the_manifests_leave_nothing(folder: Path, tmp_path: Path) -> None:
    path = write_safetensors(tmp_path, face_network(), sha256="0" * 64)
    with pytest.raises(ValueError, match="its manifest says 000"):
        store(path)
    assert list(folder.iterdir()) == []


def test_a_manifest_put_under_another_name_is_refused(folder: Path, tmp_path: Path) -> None:
    store(write_safetensors(tmp_path, face_network()))
    (folder / "mine.toml").rename(folder / "other.toml")
    with pytest.raises(ValueError, match="manifest of mine"):
        read_own("other")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "../up"}, "may hold only letters"),
        ({"name": "a,b"}, "may hold only letters"),
        ({"weights": "../other/mine.onnx"}, "name of a file beside the manifest"),
        ({"weights": "mine.pt"}, "pickled weights"),
        ({"weights": "mine.bin"}, "pickled weights"),
        ({"weights": "mine.zip"}, "pickled weights"),
        ({"labels": ["happy"]}, r"\.toml: the manifest of .* must occur once"),
        ({"sha256": "0"}, r"\.toml: sha256: .* 64"),
    ],
)
def test_a_manifest_says_what_is_wrong_with_it(changes: dict[str, object], said: str, tmp_path: Path) -> None:
    path = write_safetensors(tmp_path, face_network())
    values = tomllib.loads(path.read_text()) | changes
    with pytest.raises(ValueError, match=said):
        parse_manifest(tomli_w.dumps(values).encode(), path)


def test_onnx_says_of_faces_what_the_same_network_says_in_torch(tmp_path: Path) -> None:
    network = face_network()
    onnx_model = store(write_onnx(tmp_path / "a", network, "as-onnx"))
    torch_model = store(write_safetensors(tmp_path / "b", network, "as-safetensors"))
    for manifest in (onnx_model, torch_model):
        check_network(manifest)
    images = np.random.default_rng(1).normal(size=(BATCH + 3, 3, SIDE_PX, SIDE_PX)).astype(np.float32)
    reference = classify(load_classifier(torch_model, "torch"), torch_model, images).probabilities
    found = classify(load_classifier(onnx_model), onnx_model, images).probabilities
    assert found.std(0).max() > 0.05, "the network sees a difference"
    np.testing.assert_allclose(found, reference, atol=0.05)  # bfloat16 has eight bits
    # the table's order, from that of the manifest
    with torch.inference_mode():
        logits = network(torch.from_numpy(images))
    names = [onnx_model.labels[i] for i in logits.argmax(1).tolist()]
    assert np.mean([LABELS[i] == name for i, name in zip(found.argmax(1), names, strict=True)]) > 0.9


def test_an_onnx_voice_is_a_network_like_any_other(tmp_path: Path) -> None:
    torch.manual_seed(0)
    voice = VoiceNetwork().eval()
    manifest = store(write_onnx(tmp_path, voice, task="voice"))
    check_network(manifest)
    features = torch.randn(BATCH + 3, 1582) * 1e3
    with torch.inference_mode():
        torch.testing.assert_close(load_network(manifest)(features), voice(features), rtol=0, atol=1e-4)
    assert load_network(manifest)(features[:0]).shape == (0, 7)


class _Changed(nn.Module):
    """A face network with something done to its logits."""

    def __init__(self, change: str) -> None:
        super().__init__()
        self.network, self.change = face_network(), change

    def forward(self, images: Tensor) -> Tensor:
        logits = self.network(images)
        if self.change == "softmax":
            return logits.softmax(1)
        if self.change == "batch":
            return logits - logits.mean(0)
        return logits[:, :6] if self.change == "six" else logits / (logits - logits)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("softmax", "gives probabilities, expected logits"),
        ("batch", "depends on the others of the batch"),
        ("six", r"(16, 6), expected (16, 7)"),
        ("nan", "not finite"),
    ],
)
def test_a_trial_refuses_what_is_no_classifier(change: str, said: str, tmp_path: Path) -> None:
    assert said in trial(write_onnx(tmp_path, _Changed(change).eval()))


def test_a_trial_refuses_weights_of_another_network(tmp_path: Path) -> None:
    said = trial(write_safetensors(tmp_path, nn.Sequential(nn.Conv2d(3, 4, 3))))
    assert "does not run as debug-cnn" in said and "\n" not in said


def test_a_trial_refuses_an_input_that_the_network_does_not_take(tmp_path: Path) -> None:
    path = write_onnx(tmp_path, nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE_PX**2, 7)).eval())
    text = path.read_text().replace(f"side_px = {SIDE_PX}", "side_px = 64")
    path.write_text(text)
    assert "on the declared input" in trial(path)


def test_a_trial_refuses_features_that_are_not_there(tmp_path: Path) -> None:
    assert "num_features = 64" in trial(write_onnx(tmp_path, face_network(), num_features=64))
    assert "features of (32,)" in trial(write_safetensors(tmp_path, face_network(), "other", num_features=64))


@pytest.mark.parametrize("suffix", ["onnx", "safetensors"])
@pytest.mark.parametrize("kind", ["pickle", "zip", "text", "nothing"])
def test_a_pickle_under_another_name_is_not_opened(kind: str, suffix: str, tmp_path: Path) -> None:
    weights = tmp_path / f"mine.{suffix}"
    if kind == "zip":
        torch.save(face_network().state_dict(), weights)
    else:
        weights.write_bytes({"pickle": pickle.dumps(_Bomb()), "text": b"hello", "nothing": b""}[kind])
    said = trial(write_manifest(tmp_path, weights.name, network="debug-cnn"))
    assert weights.name in said.replace(own_weights(read_own("mine")).name, weights.name) and "\n" not in said


class _Bomb:
    """Opening its pickle fails the test."""

    def __reduce__(self) -> tuple[object, ...]:
        return pytest.fail, ("a pickle was opened",)


def test_onnx_that_keeps_its_tensors_elsewhere_is_refused(tmp_path: Path) -> None:
    path = write_onnx(tmp_path, face_network())
    model = onnx.load(tmp_path / "mine.onnx")
    convert_model_to_external_data(model, location="tensors.bin", size_threshold=0)
    onnx.save(model, tmp_path / "mine.onnx")
    write_manifest(tmp_path, "mine.onnx", network="small")
    assert "can't be read as ONNX in one file" in trial(path)
