"""Erase a video or a person for good: rows, files, snapshots, statistics, and what the catalog's database keeps.

STEPS is the order. Each step may be killed and done again; `Target` is kept in a file until the proof has succeeded.
The caller holds the upkeep lease: a run beside it could write the video anew, or read files that go away.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Final

import duckdb

from moodreel.schemas.tables import TABLES
from moodreel.warehouse import upkeep
from moodreel.warehouse.connect import CATALOG
from moodreel.warehouse.files import DataFiles, table_of
from moodreel.warehouse.lake import Lake
from moodreel.warehouse.leases import VIDEO, drop_lease
from moodreel.warehouse.proof import NotErasedError, Proof, holds_target, prove_erased
from moodreel.warehouse.staging import remove_abandoned
from moodreel.warehouse.statistics import tighten
from moodreel.warehouse.tallies import count_rows
from moodreel.warehouse.target import Target, conditions, literal, remove_intent, tables_naming, write_intent
from moodreel.warehouse.tombstones import bury

Step = Callable[[Lake, Target], None]
_IN_THE_WAY: Final = "another program is reading the catalog: wait for its query to end, then erase again"
_DOOMED: Final = f"{CATALOG}.ducklake_files_scheduled_for_deletion"
_FIRST_STRAY: Final = 2**62  # an id that no data file has


def erase(lake: Lake, target: Target, steps: Sequence[Step] | None = None) -> Proof:
    """Remove a target and prove that it is gone.

    Args:
        lake: the warehouse; it must not be written to afterwards, since it remembers statistics of before.
        target: what to remove.
        steps: those of `STEPS` to do; all by default.

    Raises:
        NotErasedError: something is left; the message names it, and erasing again goes on from here.
    """
    write_intent(lake.folder, target)
    for step in STEPS if steps is None else steps:
        step(lake, target)
    proof = prove_erased(lake, target)
    remove_intent(lake.folder)
    return proof


def write_tombstone(lake: Lake, target: Target) -> None:
    """Keep later nights from analysing the video again; first, so that none can do so in between."""
    bury(lake, target.video_id, target.scope)


def delete_staged(lake: Lake, target: Target) -> None:
    """Remove what killed runs left outside the lake."""
    remove_abandoned(lake.folder)


def delete_rows(lake: Lake, target: Target) -> None:
    """Delete the rows; of a person, count anew what is left of the video."""

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        for table, condition in conditions(target).items():
            connection.execute(f"DELETE FROM {table} WHERE {condition}")
        if target.track_id is not None:
            _count_faces_anew(connection, target.video_id)

    lake.transact(work)
    drop_lease(lake, VIDEO + target.video_id)  # of a run that died at work on it


def delete_strays(lake: Lake, target: Target) -> None:
    """Have `remove_files` remove data files with such rows that no snapshot knows: a killed run never committed them.

    Only in the folders of tables that runs alone write: a training beside this may be writing a file.
    """
    found = lake.query("CALL ducklake_delete_orphaned_files('lake', cleanup_all => true, dry_run => true)")
    with closing(DataFiles(lake.storage)) as files:
        paths = [str(path) for (path,) in found if table_of(str(path)) in tables_naming(target)]
        strays = [path for path in paths if holds_target(files, path, target)]

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        for number, path in enumerate(strays):
            connection.execute(f"INSERT INTO {_DOOMED} VALUES (?, ?, false, now())", [_FIRST_STRAY + number, path])

    lake.transact(work)


def flush_inlined(lake: Lake, target: Target) -> None:
    """Write rows that lie in the catalog out into data files."""
    upkeep.flush_inlined(lake)


def rewrite_files(lake: Lake, target: Target) -> None:
    """Write the data files anew without their deleted rows."""
    lake.call("ducklake_rewrite_data_files('lake', delete_threshold => 0)")


def expire_snapshots(lake: Lake, target: Target) -> None:
    """Forget all states of before."""
    lake.call("ducklake_expire_snapshots('lake', older_than => now())")


def remove_files(lake: Lake, target: Target) -> None:
    """Remove the data files that only forgotten snapshots needed."""
    lake.call("ducklake_cleanup_old_files('lake', cleanup_all => true)")


def tighten_statistics(lake: Lake, target: Target) -> None:
    """Set the tables' least and greatest values to those of the rows that are left."""
    tighten(lake.catalog, conditions(target))


def vacuum_catalog(lake: Lake, target: Target) -> None:
    """Write the catalog anew without what was deleted.

    Raises:
        NotErasedError: a query of another program still reads the catalog as it was.
    """
    if not lake.catalog.write_anew():
        raise NotErasedError(_IN_THE_WAY)


def empty_wal(lake: Lake, target: Target) -> None:
    """Bring a catalog's file itself up to date and empty its WAL.

    Raises:
        NotErasedError: a query of another program still reads the catalog as it was.
    """
    if not lake.catalog.settle():
        raise NotErasedError(_IN_THE_WAY)


STEPS: Final[tuple[Step, ...]] = (
    write_tombstone,
    delete_staged,
    delete_rows,
    delete_strays,
    flush_inlined,
    rewrite_files,
    expire_snapshots,
    remove_files,
    tighten_statistics,
    vacuum_catalog,
    empty_wal,
)


def _count_faces_anew(connection: duckdb.DuckDBPyConnection, video_id: str) -> None:
    connection.execute(
        "UPDATE frames SET num_faces = (SELECT count(*) FROM faces WHERE faces.video_id = frames.video_id"
        " AND faces.config_id = frames.config_id AND faces.ts_s = frames.ts_s) WHERE video_id = ?",
        [video_id],
    )
    connection.execute("DELETE FROM frame_tallies WHERE video_id = ?", [video_id])
    count_rows(connection, "frames", f"(SELECT * FROM frames WHERE video_id = {literal(video_id)})")
    for (step,) in connection.execute("SELECT DISTINCT step FROM steps WHERE video_id = ?", [video_id]).fetchall():
        if "face_id" not in TABLES[step].schema.names:
            continue
        model = "AND kept.model_id = steps.model_id" if "model_id" in TABLES[step].schema.names else ""
        connection.execute(
            f"UPDATE steps SET num_rows = (SELECT count(*) FROM {step} AS kept WHERE kept.video_id = steps.video_id"
            f" AND kept.config_id = steps.config_id {model}) WHERE video_id = ? AND step = ?",
            [video_id, step],
        )
