"""The Prefect flows beside `nightly`: each does what the command of its name does; prefect.yaml deploys them."""

import moodreel.flows.prefect_environment  # isort: skip  # noqa: F401  # Prefect reads it when it is imported

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, MinLen
from prefect import flow
from prefect.artifacts import create_table_artifact

from moodreel.schemas.purposes import Ground

Folder = Annotated[str, MinLen(1)]  # Prefect turns a variable that is not set into ""
Days = Annotated[int, Ge(0)]


@flow(name="rerun", persist_result=False, log_prints=True)
def rerun(models: list[str], warehouse: Folder, purpose: str | None = None, exception: Ground | None = None) -> None:
    """Classify what earlier runs stored, faces or sound, with other models; no video is opened.

    Args:
        models: their names; `moodreel models` lists them.
        warehouse: folder of the tables.
        purpose: what it is for; by default what MOODREEL_PURPOSE says.
        exception: why it is lawful at work or in education.
    """
    from moodreel.flows.rerun import rerun_models

    summary = rerun_models(models, Path(warehouse), purpose, exception)
    create_table_artifact(key="rerun", table=[summary.as_dict()], description=", ".join(models))


@flow(name="maintain", persist_result=False)
def maintain(warehouse: Folder, keep_crops_days: Days | None, keep_snapshots_days: Days) -> None:
    """Merge small files, expire snapshots and remove what nothing needs; at any time, also beside a run.

    Args:
        warehouse: folder of the tables.
        keep_crops_days: face pictures of videos analysed longer ago go; none keeps all.
        keep_snapshots_days: how far time travel, and rows of settings replaced since, reach back.
    """
    from moodreel.flows.upkeep import maintain_warehouse

    report = maintain_warehouse(Path(warehouse), keep_crops_days, keep_snapshots_days)
    sizes = [{"when": "before", **asdict(report.before)}, {"when": "after", **asdict(report.after)}]
    create_table_artifact(key="maintain", table=sizes, description=report.told())


@flow(name="train", persist_result=False, log_prints=True)
def train(
    recipe: str, data: Folder, out: Folder, warehouse: Folder, resume: bool = False, init: str | None = None
) -> None:
    """Train a classifier of faces or voices and write its weights and manifest.

    Args:
        recipe: its name.
        data: labelled faces or clips, a file or a folder.
        out: folder of the run.
        warehouse: folder of the tables, for the figures of every epoch.
        resume: go on from the last whole epoch.
        init: weights (safetensors) to start from.
    """
    from moodreel.flows.training import run_training
    from moodreel.flows.training_order import TrainingOrder

    start = Path(init) if init else None
    run_training(TrainingOrder(recipe, Path(data), Path(out), Path(warehouse), resume, start))
