"""Models as users bring them: weights of a small network, as safetensors or ONNX, and a manifest beside them."""

import hashlib
from pathlib import Path
from typing import Any

import tomli_w
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from moodreel.models.networks import build_network

SIDE_PX = 48
FACE_INPUT = {"side_px": SIDE_PX, "source_px": SIDE_PX, "colour": "grey", "margin": 0.0, "mean": 0.5, "std": 0.5}
VOICE_INPUT = {"feature_set": "IS10", "length": 1582, "window_s": 2.0, "min_speech_share": 0.3, "standardised_over": 1}
# not the order of the tables: who ignores the manifest's is found out
LABELS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry")


def face_network(seed: int = 0) -> nn.Module:
    """The debug network, with random weights large enough that faces differ."""
    torch.manual_seed(seed)
    network = build_network("debug-cnn").eval()
    nn.init.normal_(network[-1].weight, std=5.0)  # type: ignore[index]  # a Sequential
    return network


class VoiceNetwork(nn.Module):
    """One dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(1582, 7)

    def forward(self, features: Tensor) -> Tensor:
        """(n, 1582) to (n, 7)."""
        return self.dense(features.clamp(-1, 1))


def write_safetensors(folder: Path, network: nn.Module, /, name: str = "mine", **changes: object) -> Path:
    """Write plain float weights and their manifest; return the manifest's path."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(network.state_dict(), folder / f"{name}.safetensors")
    return write_manifest(folder, f"{name}.safetensors", **{"name": name, "network": "debug-cnn", **changes})


def write_onnx(folder: Path, network: nn.Module, /, name: str = "mine", **changes: object) -> Path:
    """Export a network with a batch of any size, and write its manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    is_voice = changes.get("task") == "voice"
    example = torch.zeros(2, 1582) if is_voice else torch.zeros(2, 3, SIDE_PX, SIDE_PX)
    torch.onnx.export(
        network,
        (example,),
        str(folder / f"{name}.onnx"),
        dynamo=False,  # the other way wants onnxscript
        input_names=["inputs"],
        dynamic_axes={"inputs": {0: "n"}},
    )
    return write_manifest(folder, f"{name}.onnx", name=name, network="small", **changes)


def write_manifest(folder: Path, weights: str, **changes: object) -> Path:
    """Write the manifest of weights that are in the folder."""
    values: dict[str, Any] = {
        **{"name": "mine", "version": "1", "task": "face", "weights": weights, "labels": LABELS, "metrics": {}},
        **{"licence": "mine [all of it]", "trained_on": "nothing", "measured_with": "nothing"},
        "sha256": hashlib.sha256((folder / weights).read_bytes()).hexdigest(),
        "input": VOICE_INPUT if changes.get("task") == "voice" else FACE_INPUT,
        **changes,
    }
    path = folder / f"{values['name']}.toml"
    path.write_text(tomli_w.dumps(values))
    return path
