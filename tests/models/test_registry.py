from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from moodreel.models import registry
from moodreel.models.features import num_features
from moodreel.models.networks import NETWORKS, Described, build_network
from moodreel.models.packing import load_weights, save_weights
from moodreel.models.registry import DEFAULTS, REGISTERED, WEIGHTS, checked_weights, read_manifest
from moodreel.schemas.labels import LABELS, NUM_LABELS


@pytest.mark.parametrize("name", REGISTERED)
def test_every_registered_model_has_a_true_manifest(name: str) -> None:
    manifest = read_manifest(name)
    assert manifest.name == name and manifest.network in NETWORKS
    assert checked_weights(manifest).suffix == ".safetensors"
    assert sorted(manifest.labels) == sorted(LABELS)
    network = build_network(manifest.network)
    network.load_state_dict(load_weights(checked_weights(manifest), manifest.labels))
    assert manifest.num_features == (num_features(network) if manifest.task == "face" else None)
    assert manifest.licence and manifest.trained_on and manifest.metrics
    assert manifest.known_failings and manifest.training and manifest.per_class.keys() == set(LABELS)
    assert manifest.structure == (network.structure if isinstance(network, Described) else None)
    assert (manifest.structure is not None) == (name == "gan-sgdma")
    for level in manifest.denoising.values():
        assert level.denoised_psnr_db >= level.noisy_psnr_db + 3, "what issue 3 asks of the denoiser"
    if manifest.task == "face":
        [ece] = [value for figure, value in manifest.metrics.items() if figure.endswith("_ece")]
        assert ece <= 0.03, "what issue 3 asks of the probabilities"


def test_defaults_are_registered_under_their_task() -> None:
    assert DEFAULTS["face"]
    for task, names in DEFAULTS.items():
        assert {read_manifest(name).task for name in names} <= {task}


def test_all_weights_together_stay_under_100_mb() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS.glob("*.safetensors")) <= 100e6


def test_weights_that_are_not_the_manifests_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = read_manifest(REGISTERED[0])
    monkeypatch.setattr(registry, "WEIGHTS", tmp_path)
    with pytest.raises(ValueError, match="missing"):
        checked_weights(manifest)
    (tmp_path / manifest.weights).write_bytes(b"other")
    with pytest.raises(ValueError, match="sha256"):
        checked_weights(manifest)


def test_an_unknown_model_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=REGISTERED[0]):
        read_manifest("none")
    with pytest.raises(ValueError, match="debug-cnn"):
        build_network("none")


@pytest.mark.parametrize(("name", "side_px"), [("debug-cnn", 48), ("inception-resnet-v2", 75)])
def test_networks_give_seven_finite_logits(name: str, side_px: int) -> None:
    with torch.inference_mode():
        logits = build_network(name).eval()(torch.rand(2, 3, side_px, side_px))
    assert logits.shape == (2, NUM_LABELS) and torch.isfinite(logits).all()


def test_inception_resnet_v2_has_the_published_size() -> None:
    assert sum(parameter.numel() for parameter in build_network("inception-resnet-v2").parameters()) == 54_317_223


def test_the_maps_of_inception_resnet_v2_are_as_wide_as_the_docs_say() -> None:
    network, widths = build_network("inception-resnet-v2", debug=True).eval(), {}
    for name in ("repeat", "repeat_1", "conv2d_7b"):
        network.get_submodule(name).register_forward_hook(
            lambda _, __, maps, name=name: widths.update({name: maps.shape[-1]})
        )
    with torch.inference_mode():
        network(torch.zeros(1, 3, 75, 75))
    assert widths == {"repeat": 7, "repeat_1": 3, "conv2d_7b": 1}


def test_weights_that_name_another_order_of_labels_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights({"weight": torch.ones(2)}, path)
    swapped = ["disgust", "angry", *LABELS[2:]]
    assert LABELS[:2] == ("angry", "disgust")
    with pytest.raises(ValueError, match=r"outputs are angry, disgust, .* expected disgust, angry, .* its manifest"):
        load_weights(path, swapped)
    save_file({"weight": torch.ones(2)}, path)  # another program's, which says nothing of them
    assert load_weights(path, swapped)["weight"].tolist() == [1, 1]


def test_packed_weights_come_back_within_half_a_step_and_a_quarter_of_the_size(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(16, 64, 3), torch.nn.BatchNorm2d(64), torch.nn.Linear(300, 40))
    network[0].weight.data[3] = 0  # a dead channel must not divide by zero
    state = network.state_dict()
    save_weights(state, tmp_path / "w.safetensors")
    back = load_weights(tmp_path / "w.safetensors", LABELS)
    assert back.keys() == state.keys()
    for name, tensor in state.items():
        if tensor.ndim < 2:
            assert torch.equal(back[name], tensor)
        else:
            step = tensor.flatten(1).abs().amax(1) / 127
            assert ((back[name] - tensor).flatten(1).abs().amax(1) <= step / 2 + 1e-7).all()
    plain = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    assert (tmp_path / "w.safetensors").stat().st_size < plain / 3
