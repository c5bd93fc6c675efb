"""A run's state on disk: one checkpoint, replaced whole after every epoch, and the best weights so far."""

import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from moodreel.schemas.training import BEST, TrainingConfig

CHECKPOINT = "checkpoint.pt"


def save_checkpoint(folder: Path, config: TrainingConfig, state: dict[str, Any]) -> None:
    """Replace the checkpoint; a kill leaves the old one or the new one."""
    state = state | {"config": config.model_dump_json()}
    write_whole(folder / CHECKPOINT, lambda path: torch.save(state, path))


def load_checkpoint(folder: Path, config: TrainingConfig, resume: bool) -> dict[str, Any] | None:
    """Return the state to go on from, None for a new run.

    Raises:
        ValueError: the folder holds a run already and `resume` is off, or that of another recipe; the checkpoint
            is damaged or can't be read.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    refuse_to_overwrite(folder, resume)
    state = _read_whole(path)
    if TrainingConfig.model_validate_json(state["config"]) != config:
        raise ValueError(f"{folder} holds a run of another recipe: name another --out")
    return state


def refuse_to_overwrite(folder: Path, resume: bool) -> None:
    """Check that a run may begin here.

    Raises:
        ValueError: the folder holds a run already and `resume` is off.
    """
    if (folder / CHECKPOINT).exists() and not resume:
        raise ValueError(f"{folder} holds a run already: continue it with --resume or name another --out")


def _read_whole(path: Path) -> dict[str, Any]:
    """Read a checkpoint whose checksums are right, which torch does not ask."""
    try:
        with zipfile.ZipFile(path) as archive:
            wrong = archive.testzip()
        if wrong is not None:
            raise ValueError(f"the checksum of {wrong} is wrong")
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    # all that damage in names, places and contents of an archive gives, and a disk that does not answer
    except (EOFError, OSError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        cause = str(error).partition("\n")[0]
        remedy = "once the disk is well try again, or begin anew with another --out"
        raise ValueError(f"{path} is damaged or can't be read ({cause}): {remedy}") from error
    return state


def save_best(folder: Path, weights: dict[str, Tensor]) -> None:
    """Replace the best weights."""
    whole = {name: tensor.contiguous() for name, tensor in weights.items()}
    write_whole(folder / BEST, lambda path: save_file(whole, path))


def load_best(folder: Path) -> dict[str, Tensor]:
    """Return the best weights of the run."""
    return load_file(folder / BEST)


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path` that takes its name once it is on the disk."""
    temporary = path.with_suffix(".tmp")
    write(temporary)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)
