"""`moodreel models add`: a user's own classifier, checked and copied to where every command finds it."""

from pathlib import Path

from moodreel.models.dry_pass import check_network
from moodreel.models.own import (
    changing_folder,
    own_folder,
    own_names,
    parse_manifest,
    read_own,
    remove_unnamed_weights,
    store_manifest,
    store_weights,
)
from moodreel.models.registry import REGISTERED, checked_weights, picture_model, read_manifest
from moodreel.schemas.config import SoundConfig
from moodreel.schemas.manifest import Manifest


def add_model(path: Path, *, force: bool) -> None:
    """Register the model of a manifest, whose weights lie beside it, and say so; the same one again changes nothing.

    Args:
        path: the manifest.
        force: replace another model of the same name.

    Raises:
        ValueError: manifest and weights are no classifier that runs can use, or the name is taken.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file; name the manifest (TOML) of a model")
    content = path.read_bytes()
    manifest = parse_manifest(content, path)
    _check_use(manifest)
    with changing_folder():
        if not force and _is_registered(manifest):
            print(f"{manifest.name} is registered already")
            return
        try:
            store_weights(manifest, path.parent / manifest.weights)
            check_network(manifest)
            store_manifest(manifest.name, content)
        finally:
            remove_unnamed_weights(manifest.name)
    read_manifest.cache_clear()
    print(f"{manifest.name} is registered as {manifest.model_id} in {own_folder()}")


def _check_use(manifest: Manifest) -> None:
    """Refuse what neither a run nor a rerun could use, and the names of others."""
    if manifest.name in REGISTERED:
        raise ValueError(f"{manifest.name} is the name of a shipped model: give yours another one in its manifest")
    if manifest.task == "face":
        picture_model(manifest)
        return
    from moodreel.tasks.acoustics import NUM_FEATURES  # openSMILE is loaded only for voices

    wanted = manifest.sound_input()
    if (wanted.length, wanted.window_s) != (NUM_FEATURES, SoundConfig().window_s):
        raise ValueError(
            f"{manifest.name} takes {wanted.length} features of {wanted.window_s:g} s of sound; what is stored of "
            f"videos are {NUM_FEATURES} of {SoundConfig().window_s:g} s"
        )


def _is_registered(manifest: Manifest) -> bool:
    if manifest.name not in own_names():
        return False
    if read_own(manifest.name) != manifest:
        raise ValueError(f"another model is registered as {manifest.name}: rename yours, or replace it with --force")
    try:
        checked_weights(manifest)
    except ValueError:  # lost or damaged: what is added now mends it
        return False
    return True
