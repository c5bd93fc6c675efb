"""A second real model, registered for one test: the debug network for faces or GAN-SGDMA for voices, random weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
import torch

from moodreel.models import registry
from moodreel.models.networks import build_network
from moodreel.models.registry import MANIFESTS, WEIGHTS, read_manifest
from moodreel.schemas.manifest import Manifest, SoundInput
from moodreel.tasks.learning.export import manifest_toml, write_manifest, write_weights
from moodreel.tasks.learning.recipes import RECIPES

NAME = "debug"
VOICE = "debug-voice"
_SOUND = SoundInput(feature_set="IS10", length=1582, window_s=2.0, min_speech_share=0.3, standardised_over=1)


@contextmanager
def other_model(folder: Path, task: Literal["face", "voice"] = "face", **changes: object) -> Iterator[Manifest]:
    """Register a model beside the shipped ones and among the defaults, its manifest changed as said."""
    name, recipe = (NAME, "debug") if task == "face" else (VOICE, "gan-sgdma-voice")
    for path in (*MANIFESTS.glob("*.toml"), *WEIGHTS.glob("*.safetensors")):
        if not (folder / path.name).exists():
            (folder / path.name).symlink_to(path)
    torch.manual_seed(0)
    config = RECIPES[recipe]()
    facts: dict[str, object] = dict.fromkeys(("version", "licence", "trained_on", "measured_with"), "none")
    if task == "voice":
        facts["input"] = _SOUND
    network = build_network(config.network)
    write_weights(network, name, folder)
    manifest = write_manifest(network, config, name, folder, metrics={}, **facts)
    manifest = manifest.model_copy(update=changes)
    (folder / f"{name}.toml").write_text(manifest_toml(manifest))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "MANIFESTS", folder)
        patch.setattr(registry, "WEIGHTS", folder)
        patch.setattr(registry, "REGISTERED", (*registry.REGISTERED, name))
        patch.setitem(registry.DEFAULTS, task, (*registry.DEFAULTS[task], name))
        read_manifest.cache_clear()
        yield manifest
    read_manifest.cache_clear()
