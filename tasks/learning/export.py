"""Turn a trained network into what ships: int8 weights and their manifest."""

import hashlib
import os
from pathlib import Path

from torch import nn

from moodreel.models.packing import save_weights
from moodreel.schemas.labels import LABELS
from moodreel.schemas.manifest import ImageInput, Manifest
from moodreel.schemas.training import TrainingConfig


def export_model(network: nn.Module, config: TrainingConfig, name: str, out: Path, **facts: object) -> Manifest:
    """Write NAME.safetensors and NAME.toml, each whole or not at all, the manifest last.

    Args:
        network: the trained network.
        config: its recipe.
        name: the registry name.
        out: a folder, made if need be.
        facts: version, licence, trained_on, trained_with, metrics and measured_with for the manifest.
    """
    out.mkdir(parents=True, exist_ok=True)
    weights = out / f"{name}.safetensors"
    temporary = weights.with_suffix(".tmp")
    save_weights(network.state_dict(), temporary)
    os.replace(temporary, weights)
    manifest = Manifest.model_validate(
        {
            "name": name,
            "task": "face",
            "network": config.network,
            "weights": weights.name,
            "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
            "labels": LABELS,
            # FER2013's pictures are MTCNN's box made square: the median longer side of a box is 51 of their 48 px
            "input": ImageInput(
                side_px=config.input_px, source_px=config.source_px, colour="grey", margin=0.0, mean=0.5, std=0.5
            ),
            **facts,
        }
    )
    temporary = out / f"{name}.toml.tmp"
    temporary.write_text(manifest_toml(manifest), encoding="utf-8")
    os.replace(temporary, out / f"{name}.toml")
    return manifest


def manifest_toml(manifest: Manifest) -> str:
    """Return a manifest as TOML, plain values before tables."""
    values = manifest.model_dump()
    tables = {key: value for key, value in values.items() if isinstance(value, dict)}
    lines = [f"{key} = {_toml(value)}" for key, value in values.items() if key not in tables]
    for key, table in tables.items():
        lines += ["", f"[{key}]", *[f"{name} = {_toml(value)}" for name, value in table.items()]]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return repr(value)
