"""The registered models: manifests read from `manifests/*.toml`, weights checked against them."""

import hashlib
import tomllib
from functools import cache
from pathlib import Path
from typing import Final, Literal

from moodreel.schemas.manifest import Manifest

_HERE: Final = Path(__file__).parent
MANIFESTS: Final = _HERE / "manifests"
WEIGHTS: Final = _HERE / "weights"
REGISTERED: Final = ("inception-resnet-v2", "gan-sgdma", "small-vgg")
# what a run uses of each task if none is named
DEFAULTS: Final[dict[Literal["face", "voice"], tuple[str, ...]]] = {"face": ("inception-resnet-v2",), "voice": ()}


@cache
def read_manifest(name: str) -> Manifest:
    """Return a registered model's manifest.

    Raises:
        ValueError: no model has that name.
    """
    if name not in REGISTERED:
        raise ValueError(f"no model {name!r}; registered are: {', '.join(REGISTERED)}")
    return Manifest.model_validate(tomllib.loads((MANIFESTS / f"{name}.toml").read_text(encoding="utf-8")))


def checked_weights(manifest: Manifest) -> Path:
    """Return the weights' file after comparing its sha256 with the manifest's.

    Raises:
        ValueError: the file is missing or another one.
    """
    path = WEIGHTS / manifest.weights
    if not path.is_file():
        raise ValueError(f"{manifest.name}: weights {path.name} are missing; install moodreel again")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != manifest.sha256:
        raise ValueError(f"{manifest.name}: {path.name} has sha256 {found}, its manifest says {manifest.sha256}")
    return path
