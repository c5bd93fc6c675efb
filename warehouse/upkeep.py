"""Keep a warehouse small and quick: few large files, a short history, nothing that no row needs any more.

What only writes transactions may be done at any time. What removes files wants the upkeep lease: a run beside it may
hold files that no snapshot knows yet, and its commit would succeed and leave the table unreadable.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import duckdb

from moodreel.schemas.tables import ALL_TABLES
from moodreel.warehouse.files import DataFiles
from moodreel.warehouse.lake import Lake
from moodreel.warehouse.leases import RUN, UPKEEP, Leases
from moodreel.warehouse.tallies import TALLY_OF

MANY_FILES: Final = 100  # of a tally, which a view reads whole
_WHOLE_BYTES: Final = 8 * 2**20  # a file so large is not written anew by the next run

MIN_AGE: Final = timedelta(days=1)  # of files that are removed: a query may still read them


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a warehouse takes, in bytes, files and snapshots."""

    data_bytes: int
    catalog_bytes: int
    num_files: int
    num_snapshots: int


def measure(lake: Lake) -> Sizes:
    """Return the sizes as they are on the disk, or in the bucket."""
    with closing(DataFiles(lake.storage)) as files:
        data = files.sizes()
    [(snapshots,)] = lake.query("SELECT count(*) FROM ducklake_snapshots('lake')")
    return Sizes(sum(data), lake.catalog.num_bytes(), len(data), int(str(snapshots)))


def flush_inlined(lake: Lake) -> None:
    """Write rows that lie in the catalog out into data files."""
    # DuckLake (in DuckDB 1.5.5) writes the tables out in parallel and notes each in a list without a lock: with two
    # threads a commit was seen to fail on a torn text
    with lake.on_one_thread():
        lake.call("ducklake_flush_inlined_data('lake')")


def drop_old_crops(lake: Lake, keep: timedelta) -> int:
    """Delete the crops of videos analysed longer ago; return their number."""
    old = "SELECT (video_id, config_id) FROM steps WHERE step = 'faces' AND committed_at < ?"
    return lake.transact(
        lambda connection: _delete(connection, "crops", f"(video_id, config_id) IN ({old})", [datetime.now(UTC) - keep])
    )


def drop_old_analyses(lake: Lake, keep: timedelta) -> int:
    """Delete the rows of settings that newer ones replaced longer ago, their steps too; return their number.

    An analysis stays while it is the newest of its video for any step and model: views show that one.
    """

    def work(connection: duckdb.DuckDBPyConnection) -> int:
        connection.execute(
            """
            CREATE OR REPLACE TEMP TABLE replaced AS
            WITH ranked AS (
                SELECT *, lag(committed_at) OVER (
                    PARTITION BY video_id, step, model_id ORDER BY committed_at DESC) AS replaced_at
                FROM steps
            )
            SELECT video_id, config_id FROM ranked GROUP BY ALL
            HAVING count(replaced_at) = count(*) AND max(replaced_at) < ?
            """,
            [datetime.now(UTC) - keep],
        )
        names = [table.name for table in ALL_TABLES if {"video_id", "config_id"} <= set(table.schema.names)]
        condition = "(video_id, config_id) IN (SELECT (video_id, config_id) FROM temp.replaced)"
        return sum(_delete(connection, name, condition) for name in names)

    return lake.transact(work)


def expire_snapshots(lake: Lake, keep: timedelta) -> None:
    """Forget states of the lake that were replaced longer ago; their files wait for `remove_files`."""
    lake.call(f"ducklake_expire_snapshots('lake', older_than => {_before(keep)})")


def merge_files(lake: Lake) -> None:
    """Write files with deleted rows anew and many small files as few large ones."""
    lake.call("ducklake_rewrite_data_files('lake', delete_threshold => 0)")
    lake.call("ducklake_merge_adjacent_files('lake')")


def merge_tallies(lake: Lake, leases: Leases) -> None:
    """Write the tallies' small files as few ones where a run left many, unless another run is on.

    The old ones stay for queries that still read them, until `remove_files`.

    Args:
        lake: the warehouse.
        leases: of the run that comes to its end.
    """
    sizes = lake.query("SELECT table_name FROM ducklake_table_info('lake') WHERE file_count > ?", [MANY_FILES])
    many = {str(name) for (name,) in sizes} & set(TALLY_OF.values())
    if not many or not leases.take(UPKEEP, blocked_by=RUN):
        return
    for tally in many:
        lake.call(f"ducklake_merge_adjacent_files('lake', '{tally}', max_file_size => {_WHOLE_BYTES})")
    leases.release(UPKEEP)


def remove_files(lake: Lake, min_age: timedelta = MIN_AGE) -> None:
    """Remove files that nothing refers to any more, or never did since their writer was killed.

    Args:
        lake: the warehouse, with the upkeep lease held.
        min_age: how long nothing has referred to them.
    """
    lake.call(f"ducklake_cleanup_old_files('lake', older_than => {_before(min_age)})")
    lake.call(f"ducklake_delete_orphaned_files('lake', older_than => {_before(min_age)})")


def shrink_catalog(lake: Lake) -> None:
    """Give back what the catalog has no use for."""
    lake.catalog.shrink()


def _before(age: timedelta) -> str:
    return f"TIMESTAMPTZ '{(datetime.now(UTC) - age).isoformat()}'"


def _delete(connection: duckdb.DuckDBPyConnection, table: str, condition: str, values: Sequence[object] = ()) -> int:
    row = connection.execute(f"DELETE FROM {table} WHERE {condition}", list(values)).fetchone()
    return int(row[0]) if row else 0
