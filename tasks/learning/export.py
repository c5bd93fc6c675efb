"""Turn a trained network into what ships: int8 weights and their manifest."""

import hashlib
from pathlib import Path

import tomli_w
from torch import nn

from moodreel.models.features import num_features
from moodreel.models.networks import Described
from moodreel.models.packing import load_weights, save_weights
from moodreel.schemas.labels import LABELS
from moodreel.schemas.manifest import ImageInput, Manifest, VectorInput
from moodreel.schemas.training import TrainingConfig
from moodreel.tasks.learning.checkpoint import write_whole
from moodreel.tasks.learning.deep_examples import describe_vectors


def write_weights(network: nn.Module, name: str, out: Path) -> None:
    """Write NAME.safetensors, whole or not at all, and give the network what stands there: rounded to 8 bits.

    What is measured from then on is what ships.

    Args:
        network: the trained network.
        name: the registry name.
        out: a folder, made if need be.
    """
    out.mkdir(parents=True, exist_ok=True)
    weights = out / f"{name}.safetensors"
    write_whole(weights, lambda path: save_weights(network.state_dict(), path))
    network.load_state_dict(load_weights(weights, LABELS))


def write_manifest(network: nn.Module, config: TrainingConfig, name: str, out: Path, **facts: object) -> Manifest:
    """Write NAME.toml, whole or not at all, beside the weights that `write_weights` wrote.

    Args:
        network: the network of these weights.
        config: its recipe.
        name: the registry name.
        out: the weights' folder.
        facts: what else the manifest holds; version, licence, trained_on, metrics and measured_with at
            least; the input too if it learnt from sound.
    """
    weights = out / f"{name}.safetensors"
    manifest = Manifest.model_validate(
        {
            "name": name,
            "task": "voice" if config.sound else "face",
            "network": config.network,
            "structure": network.structure if isinstance(network, Described) else None,
            "weights": weights.name,
            "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
            "labels": LABELS,
            "num_features": None if config.deep or config.sound else num_features(network),
            **({} if config.sound else {"input": _describe_input(config)}),
            **facts,
        }
    )
    write_whole(out / f"{name}.toml", lambda path: path.write_text(manifest_toml(manifest), encoding="utf-8"))
    return manifest


def _describe_input(config: TrainingConfig) -> ImageInput | VectorInput:
    if config.deep:
        return describe_vectors(config.deep)
    # FER2013's pictures are MTCNN's box made square: the median longer side of a box is 51 of their 48 px
    return ImageInput(side_px=config.input_px, source_px=config.source_px, colour="grey", margin=0.0, mean=0.5, std=0.5)


def manifest_toml(manifest: Manifest) -> str:
    """Return a manifest as TOML; what has its default is left out."""
    return tomli_w.dumps(manifest.model_dump(mode="json", exclude_defaults=True))
