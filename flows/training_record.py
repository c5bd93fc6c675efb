"""A training run's trace outside its folder: its row and its epochs in the warehouse."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from moodreel.tasks.learning.identity import RunIdentity, write_identity
from moodreel.tasks.learning.train import EpochMetrics
from moodreel.warehouse.lake import Lake
from moodreel.warehouse.trainings import finish_training, record_epochs, start_training


class TrainingRecord:
    """Opened by the first step, so that a mistake found before it leaves nothing behind; closed whatever happens."""

    def __init__(self, warehouse: Path, out: Path, identity: RunIdentity, facts: Mapping[str, object]) -> None:
        self._warehouse, self._out, self._identity, self._facts = warehouse, out, identity, facts
        self._lake: Lake | None = None
        self._is_finished = False

    def __enter__(self) -> "TrainingRecord":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lake is not None:
            if not self._is_finished:
                finish_training(self._lake, self._identity.training_id, "failed")
            self._lake.close()

    def begin(self) -> Lake:
        """Write the run's identity and its row, once.

        Raises:
            ValueError: the warehouse can't be used.
        """
        if self._lake is None:
            lake = Lake(self._warehouse)
            write_identity(self._out, self._identity)
            start_training(lake, self._identity.training_id, self._facts)
            self._lake = lake
        return self._lake

    def add(self, history: Sequence[EpochMetrics]) -> None:
        """Commit the epochs that are new."""
        record_epochs(self.begin(), self._identity.training_id, [asdict(line) for line in history])

    def complete(self, history: Sequence[EpochMetrics], model_id: str) -> None:
        """Commit the run as completed, with what it made."""
        lines = [asdict(line) for line in history]
        finish_training(self.begin(), self._identity.training_id, "completed", lines, model_id)
        self._is_finished = True
