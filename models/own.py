"""Models that users registered: their manifests and weights, in a folder of the user's.

NAME.toml is what says "registered", so it is written last. Weights carry their digest in their name: those of another
model never stand in for them, and a kill between two steps leaves at most a file that nothing names.
"""

import hashlib
import os
import re
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock
from pydantic import ValidationError

from moodreel.schemas.complaints import in_words
from moodreel.schemas.manifest import Manifest

FORMATS: Final = (".safetensors", ".onnx")  # neither can run code when it is opened
MODEL_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # it becomes part of file names and of --models NAME,..


def own_folder() -> Path:
    """Return `$MOODREEL_MODELS`, else `moodreel/models` among the user's data; it need not exist."""
    named = os.environ.get("MOODREEL_MODELS")
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(named).absolute() if named else Path(data, "moodreel", "models")


def own_names() -> tuple[str, ...]:
    """Return the names of the user's models, in order."""
    return tuple(sorted(path.stem for path in own_folder().glob("*.toml")))


def read_own(name: str) -> Manifest:
    """Return the manifest of one of `own_names`.

    Raises:
        ValueError: somebody changed it by hand so that it is none, or another model's.
    """
    path = own_folder() / f"{name}.toml"
    manifest = parse_manifest(path.read_bytes(), path)
    if manifest.name != name:
        raise ValueError(f"{path} is the manifest of {manifest.name}: register it with `moodreel models add`")
    return manifest


def parse_manifest(content: bytes, path: Path) -> Manifest:
    """Return the manifest that a file of a user's holds.

    Raises:
        ValueError: it is no manifest, or a name in it can't be used.
    """
    try:
        manifest = Manifest.model_validate(tomllib.loads(content.decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no TOML: {error}") from error
    except ValidationError as error:
        raise ValueError(f"{path}: {in_words(error.errors())}") from error
    if not MODEL_NAME.fullmatch(manifest.name):
        raise ValueError(f"{path}: the name {manifest.name!r} may hold only letters, digits and . _ -")
    if Path(manifest.weights).name != manifest.weights:
        raise ValueError(f"{path}: weights = {manifest.weights!r} must be the name of a file beside the manifest")
    if Path(manifest.weights).suffix not in FORMATS:
        raise ValueError(
            f"{path}: {manifest.weights} is neither {' nor '.join(FORMATS)}; pickled weights (.pt, .pth, .bin, .zip) "
            "can run code when they are opened and are never read: save them as safetensors or export to ONNX"
        )
    return manifest


def own_weights(manifest: Manifest) -> Path:
    """Return where the weights of a user's model are kept."""
    return own_folder() / f"{manifest.name}-{manifest.sha256[:12]}{Path(manifest.weights).suffix}"


@contextmanager
def changing_folder() -> Iterator[None]:
    """Make the folder if need be and keep other processes from changing it."""
    own_folder().mkdir(parents=True, exist_ok=True)
    with FileLock(own_folder() / ".lock"):
        yield


def store_weights(manifest: Manifest, source: Path) -> None:
    """Copy weights to their place, whole.

    Raises:
        ValueError: there is no such file, or it has another sha256 than the manifest says.
    """
    if not source.is_file():
        raise ValueError(f"{source}: no such file; {manifest.name}'s manifest names it as its weights")
    temporary = own_weights(manifest).with_name(own_weights(manifest).name + ".tmp")
    shutil.copyfile(source, temporary)
    with temporary.open("rb+") as file:  # the copy is checked: the source may change meanwhile
        found = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file)
    if found != manifest.sha256:
        temporary.unlink()
        raise ValueError(f"{source} has sha256 {found}, its manifest says {manifest.sha256}")
    os.replace(temporary, own_weights(manifest))


def store_manifest(name: str, content: bytes) -> None:
    """Write a manifest, whole, after its weights; from then on the model is registered."""
    temporary = own_folder() / f"{name}.toml.tmp"
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file)
    os.replace(temporary, own_folder() / f"{name}.toml")


def remove_unnamed_weights(name: str) -> None:
    """Remove what was kept under a model's name and is not its registered weights: of before, or of a killed run."""
    kept = own_weights(read_own(name)) if name in own_names() else None
    pattern = re.compile(rf"{re.escape(name)}-[0-9a-f]{{12}}({'|'.join(map(re.escape, FORMATS))})(\.tmp)?")
    for path in own_folder().iterdir():
        if pattern.fullmatch(path.name) and path != kept:
            path.unlink()
