"""Turn a trained network into what ships: int8 weights and their manifest."""

import hashlib
import os
from pathlib import Path

import tomli_w
from torch import nn

from moodreel.models.features import num_features
from moodreel.models.packing import save_weights
from moodreel.schemas.labels import LABELS
from moodreel.schemas.manifest import ImageInput, Manifest, VectorInput
from moodreel.schemas.training import TrainingConfig
from moodreel.tasks.learning.deep_examples import describe_vectors


def export_model(network: nn.Module, config: TrainingConfig, name: str, out: Path, **facts: object) -> Manifest:
    """Write NAME.safetensors and NAME.toml, each whole or not at all, the manifest last.

    Args:
        network: the trained network.
        config: its recipe.
        name: the registry name.
        out: a folder, made if need be.
        facts: what else the manifest holds; version, licence, trained_on, metrics and measured_with at
            least; the input too if it learnt from sound.
    """
    out.mkdir(parents=True, exist_ok=True)
    weights = out / f"{name}.safetensors"
    temporary = weights.with_suffix(".tmp")
    save_weights(network.state_dict(), temporary)
    os.replace(temporary, weights)
    manifest = Manifest.model_validate(
        {
            "name": name,
            "task": "voice" if config.sound else "face",
            "network": config.network,
            "weights": weights.name,
            "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
            "labels": LABELS,
            "num_features": None if config.deep or config.sound else num_features(network),
            **({} if config.sound else {"input": _describe_input(config)}),
            **facts,
        }
    )
    temporary = out / f"{name}.toml.tmp"
    temporary.write_text(manifest_toml(manifest), encoding="utf-8")
    os.replace(temporary, out / f"{name}.toml")
    return manifest


def _describe_input(config: TrainingConfig) -> ImageInput | VectorInput:
    if config.deep:
        return describe_vectors(config.deep)
    # FER2013's pictures are MTCNN's box made square: the median longer side of a box is 51 of their 48 px
    return ImageInput(side_px=config.input_px, source_px=config.source_px, colour="grey", margin=0.0, mean=0.5, std=0.5)


def manifest_toml(manifest: Manifest) -> str:
    """Return a manifest as TOML; what has its default is left out."""
    return tomli_w.dumps(manifest.model_dump(mode="json", exclude_defaults=True))
