"""A training run with its trace outside its folder: progress for eyes, its row and its epochs in the warehouse."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Final

from filelock import FileLock, Timeout

from moodreel.flows import progress
from moodreel.flows.training_order import TrainingOrder
from moodreel.schemas.manifest import Manifest
from moodreel.tasks.learning.examples import Examples
from moodreel.tasks.learning.identity import RunIdentity, write_identity
from moodreel.tasks.learning.train import EpochMetrics, Trained, train_classifier
from moodreel.warehouse.lake import Lake
from moodreel.warehouse.trainings import finish_training, record_epochs, start_training

LOCK: Final = "run.lock"  # in the run's folder: held while a process trains there


@contextmanager
def only_training_in(folder: Path) -> Iterator[None]:
    """Keep a run's folder, made if need be, from all other processes.

    Raises:
        ValueError: another process trains there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ValueError(f"{folder}: another training is at work there; name another folder") from error
    try:
        yield
    finally:
        lock.release()


class TrainingRecord:
    """Opened by the first step, so that a mistake found before it leaves nothing behind; closed whatever happens."""

    def __init__(self, warehouse: Path, out: Path, identity: RunIdentity, facts: Mapping[str, object]) -> None:
        self._warehouse, self._out, self._identity, self._facts = warehouse, out, identity, facts
        self._held = ExitStack()
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
        self._held.close()

    def begin(self) -> Lake:
        """Take the run's folder for this process, and write the run's identity and its row, once.

        Raises:
            ValueError: the warehouse can't be used, or another process trains in the folder.
        """
        if self._lake is None:
            lake = Lake(self._warehouse)
            try:
                self._held.enter_context(only_training_in(self._out))
            except ValueError:
                lake.close()
                raise
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


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """A training on its way to weights."""

    order: TrainingOrder
    identity: RunIdentity

    def train(self, learning: Examples, validation: Examples, export: Callable[[Trained], Manifest]) -> Manifest:
        """Train, and let `export` write what ships; the run counts as completed once it has.

        Raises:
            ValueError: what `train_classifier` raises, or the warehouse can't be used.
            FloatingPointError: the run diverged; `out` keeps its last whole epoch.
        """
        config, order = self.identity.config, self.order
        row = {
            "recipe": order.recipe,
            "config": config.model_dump_json(),
            "data": str(order.data.resolve()),
            "data_id": self.identity.data_id,
            "init": None if order.init is None else str(order.init.resolve()),
            "code_version": version("moodreel"),
        }
        with TrainingRecord(order.warehouse, order.out, self.identity, row) as record:
            with progress.steps(order.model) as (done, say), _divergence_told(order.model, order.out):

                def on_step(step: int, num_steps: int) -> None:
                    record.begin()
                    done(step, num_steps)

                def on_epoch(history: Sequence[EpochMetrics]) -> None:
                    record.add(history)
                    say(_epoch_line(history[-1], config.num_epochs))

                trained = train_classifier(
                    config,
                    learning,
                    validation,
                    order.out,
                    resume=order.resume,
                    init=order.init,
                    on_epoch=on_epoch,
                    on_step=on_step,
                )
            manifest = export(trained)
            record.complete(trained.history, manifest.model_id)
        return manifest


@contextmanager
def _divergence_told(recipe: str, out: Path) -> Iterator[None]:
    try:
        yield
    except FloatingPointError as error:
        raise FloatingPointError(
            f"{recipe} diverged: {error} (--find-rate proposes one); {out} keeps the last whole epoch"
        ) from error


def _epoch_line(epoch: EpochMetrics, num_epochs: int) -> str:
    losses = ", ".join(f"{name} {loss:.3f}" for name, loss in epoch.losses.items())
    return (
        f"epoch {epoch.epoch + 1}/{num_epochs}: loss {losses}, accuracy {epoch.accuracy:.4f}, "
        f"{epoch.seconds:.0f} s, about {epoch.seconds * (num_epochs - epoch.epoch - 1) / 60:.0f} min left"
    )
