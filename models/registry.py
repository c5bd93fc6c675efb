"""The registered models: manifests read from `manifests/*.toml`, weights checked against them.

The user's own ones (`own.py`) come after the shipped ones, whose names they can't take.
"""

import hashlib
import tomllib
from functools import cache
from pathlib import Path
from typing import Final, Literal

from moodreel.models.own import own_names, own_weights, read_own
from moodreel.schemas.manifest import Manifest, VectorInput

_HERE: Final = Path(__file__).parent
MANIFESTS: Final = _HERE / "manifests"
WEIGHTS: Final = _HERE / "weights"
REGISTERED: Final = ("inception-resnet-v2", "gan-sgdma", "small-vgg", "small-vgg-votes", "gan-sgdma-voice")
# what a run uses of each task if none is named
DEFAULTS: Final[dict[Literal["face", "voice"], tuple[str, ...]]] = {
    "face": ("inception-resnet-v2", "gan-sgdma"),
    "voice": ("gan-sgdma-voice",),
}


def registered() -> tuple[str, ...]:
    """Return the names of all models, the shipped ones first."""
    return (*REGISTERED, *(name for name in own_names() if name not in REGISTERED))


@cache  # so a process keeps the model that it began with, whatever is registered meanwhile
def read_manifest(name: str) -> Manifest:
    """Return a registered model's manifest.

    Raises:
        ValueError: no model has that name.
    """
    if name not in registered():
        raise ValueError(f"no model {name!r}; registered are: {', '.join(registered())}")
    if name not in REGISTERED:
        return read_own(name)
    return Manifest.model_validate(tomllib.loads((MANIFESTS / f"{name}.toml").read_text(encoding="utf-8")))


def picture_model(manifest: Manifest) -> Manifest:
    """Return the model that sees the pictures: a face model itself, or the one whose deep features it takes.

    Raises:
        ValueError: it takes sound, or several frames at once, or the model of its deep features is not registered or
            has another number of them.
    """
    if not isinstance(manifest.input, VectorInput):
        manifest.image_input()
        return manifest
    if manifest.input.num_frames > 1:
        raise ValueError(
            f"{manifest.name} takes {manifest.input.num_frames} frames of a face at once, and faces are classified one "
            "by one: train it with --set deep.num_frames=1"
        )
    for name in registered():
        if (found := read_manifest(name)).model_id == manifest.input.source:
            if manifest.input.length != 2 * (found.num_features or 0):
                raise ValueError(
                    f"{manifest.name} takes {manifest.input.length} values; mean and spread of the "
                    f"{found.num_features or 0} deep features of {name} are twice as many: correct its manifest"
                )
            return found
    raise ValueError(
        f"{manifest.name} takes deep features of {manifest.input.source}, which is not registered: register that model "
        f"again, or train {manifest.name} on the features of another one"
    )


def checked_weights(manifest: Manifest) -> Path:
    """Return the weights' file after comparing its sha256 with the manifest's.

    Raises:
        ValueError: the file is missing or another one.
    """
    is_shipped = manifest.name in REGISTERED
    path = WEIGHTS / manifest.weights if is_shipped else own_weights(manifest)
    if not path.is_file():
        remedy = "install moodreel again" if is_shipped else "register the model again with `moodreel models add`"
        raise ValueError(f"{manifest.name}: weights {path.name} are missing; {remedy}")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != manifest.sha256:
        raise ValueError(f"{manifest.name}: {path.name} has sha256 {found}, its manifest says {manifest.sha256}")
    return path
