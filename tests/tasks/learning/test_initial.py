import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from moodreel.models.features import find_head
from moodreel.models.networks import build_network
from moodreel.models.packing import save_weights
from moodreel.models.registry import WEIGHTS
from moodreel.tasks.learning.initial import load_initial_weights

HEAD = "31."  # of the debug small-vgg's layers the last


def debug_network() -> nn.Module:
    return build_network("small-vgg", debug=True)


def users_file(path: Path, num_outputs: int) -> dict[str, torch.Tensor]:
    """A user's own weights: the body fits, the last layer has other outputs."""
    network = debug_network()
    network[-1] = nn.Linear(64, num_outputs)  # type: ignore[operator]  # it is a Sequential
    state = network.state_dict()
    save_file(state, path)
    return state


def test_shipped_weights_are_a_start(tmp_path: Path) -> None:
    network = debug_network()
    save_weights(debug_network().state_dict(), tmp_path / "a.safetensors")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    load_initial_weights(network, tmp_path / "a.safetensors")
    assert not torch.equal(find_head(network).weight, before[f"{HEAD}weight"])  # type: ignore[arg-type]  # a Linear's

    large = build_network("inception-resnet-v2")
    load_initial_weights(large, WEIGHTS / "inception-resnet-v2.safetensors")


@pytest.mark.parametrize("num_outputs", [1000, 8])
def test_another_head_is_left_out_and_the_body_is_taken(tmp_path: Path, num_outputs: int) -> None:
    given = users_file(tmp_path / "a.safetensors", num_outputs)
    network = debug_network()
    head = {name for name in network.state_dict() if name.startswith(HEAD)}
    before = {name: network.state_dict()[name].clone() for name in head}
    load_initial_weights(network, tmp_path / "a.safetensors")
    assert len(head) == 2
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name] if name in head else given[name])


def test_a_file_without_a_head_is_a_body(tmp_path: Path) -> None:
    state = {name: tensor for name, tensor in debug_network().state_dict().items() if not name.startswith(HEAD)}
    save_file(state, tmp_path / "a.safetensors")
    network = debug_network()
    load_initial_weights(network, tmp_path / "a.safetensors")
    assert torch.equal(network.state_dict()["0.weight"], state["0.weight"])


def test_counters_of_batches_may_be_absent_and_statistics_may_not(tmp_path: Path) -> None:
    state = debug_network().state_dict()
    counters = {name for name in state if name.endswith("num_batches_tracked")}
    assert counters
    save_file({name: tensor for name, tensor in state.items() if name not in counters}, tmp_path / "a.safetensors")
    network = debug_network()
    load_initial_weights(network, tmp_path / "a.safetensors")
    assert torch.equal(network.state_dict()["0.weight"], state["0.weight"])
    means = {name for name in state if name.endswith("running_mean")}
    save_file({name: tensor for name, tensor in state.items() if name not in means}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="running_mean does not fit"):
        load_initial_weights(network, tmp_path / "a.safetensors")


def test_what_does_not_fit_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    save_file(build_network("debug-cnn").state_dict(), tmp_path / "other.safetensors")
    (tmp_path / "a.pt").write_bytes(pickle.dumps({"0.weight": [1.0]}))
    network = debug_network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for path, says in (
        (tmp_path / "other.safetensors", "another network's weights: .* does not fit"),
        (tmp_path / "a.pt", "pickled weights"),
        (tmp_path / "none.safetensors", "no such file"),
    ):
        with pytest.raises(ValueError, match=says):
            load_initial_weights(network, path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
