"""A second real face model, registered for one test: the debug network with random weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from moodreel.models import registry
from moodreel.models.networks import build_network
from moodreel.models.registry import MANIFESTS, REGISTERED, WEIGHTS, read_manifest
from moodreel.schemas.manifest import Manifest
from moodreel.tasks.learning.export import export_model, manifest_toml
from moodreel.tasks.learning.recipes import RECIPES

NAME = "debug"


@contextmanager
def other_model(folder: Path, **changes: object) -> Iterator[Manifest]:
    """Register a model beside the shipped ones and among the defaults, its manifest changed as said."""
    for path in (*MANIFESTS.glob("*.toml"), *WEIGHTS.glob("*.safetensors")):
        (folder / path.name).symlink_to(path)
    torch.manual_seed(0)
    config = RECIPES["debug"]()
    facts = dict.fromkeys(("version", "licence", "trained_on", "measured_with"), "none")
    manifest = export_model(build_network(config.network), config, NAME, folder, metrics={}, **facts)
    manifest = manifest.model_copy(update=changes)
    (folder / f"{NAME}.toml").write_text(manifest_toml(manifest))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "MANIFESTS", folder)
        patch.setattr(registry, "WEIGHTS", folder)
        patch.setattr(registry, "REGISTERED", (*REGISTERED, NAME))
        patch.setitem(registry.DEFAULTS, "face", (*registry.DEFAULTS["face"], NAME))
        read_manifest.cache_clear()
        yield manifest
    read_manifest.cache_clear()
