"""`moodreel maintain` and `moodreel erase`: upkeep of a warehouse, alone in it wherever files go away."""

import logging
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from moodreel.schemas.purposes import stated_purpose
from moodreel.warehouse import upkeep
from moodreel.warehouse.audit import record_access
from moodreel.warehouse.erase import erase
from moodreel.warehouse.lake import Lake, WarehouseError, open_reader
from moodreel.warehouse.leases import RUN, UPKEEP, Leases
from moodreel.warehouse.proof import Proof
from moodreel.warehouse.target import Target, find_target, read_intent

WAITING: Final = (
    "a run or other upkeep is on: merging and removing files and shrinking the catalog wait for the next maintain"
)
_LONGEST_DAYS: Final = 36_500  # any date is less ago; much more would be before the first one
log = logging.getLogger("moodreel")


@dataclass(frozen=True, slots=True)
class MaintenanceReport:
    """What `maintain` did; `waiting` says what it left, and why."""

    before: upkeep.Sizes
    after: upkeep.Sizes
    num_old_crops: int
    num_old_rows: int
    waiting: str | None

    def as_dict(self) -> dict[str, object]:
        """Return what `--json` prints."""
        return asdict(self)

    def show(self) -> None:
        """Print the sizes before and after."""
        from rich.console import Console
        from rich.table import Table

        table = Table("", "before", "after")
        after = asdict(self.after)
        for name, value in asdict(self.before).items():
            table.add_row(name.replace("_", " ").replace("num ", ""), f"{value:,}", f"{after[name]:,}")
        Console().print(table)
        print(self.told())

    def told(self) -> str:
        """Return what the sizes don't say, a line each."""
        deleted = f"{self.num_old_crops:,} old crops and {self.num_old_rows:,} rows of replaced settings deleted"
        return f"{deleted}\n{self.waiting}" if self.waiting else deleted


@dataclass(frozen=True, slots=True)
class ErasureReport:
    """What `erase` removed, and what its proof looked through."""

    erased: str
    scope: str
    video_id: str
    proof: Proof

    def as_dict(self) -> dict[str, object]:
        """Return what `--json` prints."""
        return asdict(self)

    def show(self) -> None:
        """Print it in two lines."""
        print(f"erased: {self.scope} {self.erased}; no later run will analyse video {self.video_id}")
        print(
            f"proven: {self.proof.num_data_files} data files read directly, {self.proof.num_catalog_bytes:,} bytes of"
            f" the catalog searched, {self.proof.num_snapshots} snapshots asked; nothing found"
        )


def maintain_warehouse(
    warehouse: Path, keep_crops_days: int | None, keep_snapshots_days: int, min_age: timedelta = upkeep.MIN_AGE
) -> MaintenanceReport:
    """Make a warehouse small and quick; while a run is on, only the parts that can't harm it.

    Args:
        warehouse: its folder.
        keep_crops_days: crops of videos analysed longer ago go; None keeps all.
        keep_snapshots_days: how long time travel and replaced settings reach back.
        min_age: of files that are removed, how long nothing has referred to them.

    Raises:
        WarehouseError: there is no warehouse.
    """
    keep = _days(keep_snapshots_days)
    with _opened(warehouse) as (lake, leases):
        before = upkeep.measure(lake)
        num_crops = 0 if keep_crops_days is None else upkeep.drop_old_crops(lake, _days(keep_crops_days))
        num_rows = upkeep.drop_old_analyses(lake, keep)
        upkeep.flush_inlined(lake)
        upkeep.expire_snapshots(lake, keep)
        is_alone = leases.take(UPKEEP, blocked_by=RUN)
        if is_alone:
            upkeep.merge_files(lake)
            upkeep.expire_snapshots(lake, keep)
            upkeep.remove_files(lake, min_age)
            upkeep.shrink_catalog(lake)
        cut_short = read_intent(lake.folder)
        if cut_short is not None:
            log.warning("an erasure was cut short: finish it with `moodreel erase %s`", cut_short.named)
        return MaintenanceReport(before, upkeep.measure(lake), num_crops, num_rows, None if is_alone else WAITING)


def _days(count: int) -> timedelta:
    return timedelta(days=min(count, _LONGEST_DAYS))


def leave_tidy(lake: Lake, leases: Leases) -> None:
    """At the end of a run, make its warehouse quick to ask; where that fails, the next run does it."""
    try:
        upkeep.merge_tallies(lake, leases)
    except Exception as error:  # a full disk, a lost connection: all videos are committed
        log.warning("small files stay small until the next run or `moodreel maintain`: %s", error)


def erase_subject(warehouse: Path, named: str) -> ErasureReport:
    """Erase a video or a person for good, after any erasure that was cut short.

    Args:
        warehouse: its folder.
        named: a video_id, a path that was seen, or VIDEO_ID:TRACK_ID.

    Raises:
        WarehouseError: there is no warehouse, a run is on, or nothing or several things are known by that name.
        NotErasedError: something is left; erasing again goes on from there.
    """
    with _alone(warehouse) as lake:
        cut_short = read_intent(lake.folder)
        if cut_short is None:
            return _erase(lake, find_target(lake, named))
        log.warning("finishing the erasure of %s, which was cut short", cut_short.named)
        report = _erase(lake, cut_short)
    # the lake is opened anew: an erased one must not be written to
    return report if cut_short.named == named else erase_subject(warehouse, named)


def _erase(lake: Lake, target: Target) -> ErasureReport:
    subject = target.video_id if target.track_id is None else f"{target.video_id}:{target.track_id}"
    record_access(lake.folder, "erase", purpose=stated_purpose(), subjects=[subject])
    return ErasureReport(target.named, target.scope, target.video_id, erase(lake, target))


@contextmanager
def _alone(warehouse: Path) -> Iterator[Lake]:
    with _opened(warehouse) as (lake, leases):
        if not leases.take(UPKEEP, blocked_by=RUN):
            raise WarehouseError("a run or other upkeep is on: erase when it is over")
        yield lake


@contextmanager
def _opened(warehouse: Path) -> Iterator[tuple[Lake, Leases]]:
    open_reader(warehouse).close()  # says what to do where there is none, and makes none
    with closing(Lake(warehouse)) as lake, Leases(lake, f"{UPKEEP} {uuid.uuid4().hex}") as leases:
        yield lake, leases
