"""Which training run a folder holds: an id that stays when the run is resumed, what it learns from, where it begins."""

import hashlib
import uuid
from pathlib import Path

from blake3 import blake3
from pydantic import BaseModel, ConfigDict

from moodreel.models.registry import read_manifest
from moodreel.schemas.training import TrainingConfig
from moodreel.tasks.learning.checkpoint import CHECKPOINT, refuse_to_overwrite, write_whole
from moodreel.tasks.learning.labelled import LabelledFaces

IDENTITY = "run.json"


class RunIdentity(BaseModel):
    """What stands in `run.json`."""

    model_config = ConfigDict(frozen=True)

    training_id: str
    config: TrainingConfig
    data_id: str
    init_id: str | None = None  # SHA-256 of the weights that it began with; None: with random ones
    # by name, model_id of the teachers and of whose deep features are learnt; None: in runs of before
    sources: dict[str, str] | None = None


def identify_run(
    folder: Path, config: TrainingConfig, data_id: str, resume: bool, init: Path | None = None
) -> RunIdentity:
    """Say which run goes on in a folder, a new one if it holds none that could; nothing is written.

    Raises:
        ValueError: the folder holds a run and `resume` is off, or one of another recipe, on other data, with another
            `init`, or that learns from another model of the same name; or a model is not registered.
    """
    refuse_to_overwrite(folder, resume)
    init_id = None if init is None else hashlib.sha256(init.read_bytes()).hexdigest()
    training_id, sources = uuid.uuid4().hex, _sources(config)
    fresh = RunIdentity(training_id=training_id, config=config, data_id=data_id, init_id=init_id, sources=sources)
    path = folder / IDENTITY
    if not resume or not path.exists():
        return fresh
    known = RunIdentity.model_validate_json(path.read_text(encoding="utf-8"))
    if (known.config, known.data_id) == (config, data_id):
        if known.init_id != init_id:  # even before its first epoch: it would begin anew, and with other weights
            raise ValueError(f"{folder} holds a run with another --init or none: give it as then, or another --out")
        changed = [name for name, model_id in (known.sources or sources).items() if sources[name] != model_id]
        if changed:
            raise ValueError(f"{folder} holds a run that learns from another {changed[0]}: name another --out")
        return known
    # a run killed in its first epoch has no checkpoint: nothing of it can be mixed with another's
    if not (folder / CHECKPOINT).exists():
        return fresh
    what = "of another recipe" if known.config != config else "on other data"
    raise ValueError(f"{folder} holds a run {what}: name another --out")


def _sources(config: TrainingConfig) -> dict[str, str]:
    names = list(config.distillation.teachers) if config.distillation else []
    if config.deep:
        names.append(config.deep.model)
    return {name: read_manifest(name).model_id for name in names}


def write_identity(folder: Path, identity: RunIdentity) -> None:
    """Write `run.json`, whole or not at all."""
    write_whole(folder / IDENTITY, lambda path: path.write_text(identity.model_dump_json(), encoding="utf-8"))


def digest_faces(*parts: LabelledFaces) -> str:
    """Return the BLAKE3 of pictures, labels and votes, hex."""
    digest = blake3()
    for faces in parts:
        for image in faces.images:
            digest.update(image)
        digest.update(faces.labels.tobytes())
        digest.update(faces.votes.tobytes())
    return digest.hexdigest()
