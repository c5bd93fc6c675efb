"""Commit a video: all its rows and its steps in one transaction, or nothing."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import duckdb

from moodreel.schemas.tables import TABLES
from moodreel.schemas.values import StepResult, VideoFile, VideoInfo
from moodreel.warehouse.lake import Lake


def commit_video(
    lake: Lake, run_id: str, file: VideoFile, info: VideoInfo, results: Sequence[StepResult], seconds: float
) -> None:
    """Write a video's row, the tables of its steps and the steps, leaving out steps that are there already.

    Args:
        lake: the warehouse.
        run_id: the run that did the work.
        file: the video.
        info: what probing told.
        results: the finished steps.
        seconds: wall time that the video took.
    """

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        now = datetime.now(UTC)
        if not _count(connection, "videos WHERE video_id = ?", [file.video_id]):
            row = {
                **asdict(info),
                "video_id": file.video_id,
                "path": file.path,
                "size_bytes": file.stamp.size_bytes,
                "analysed_at": now,
            }
            names = [name for name, _, _ in TABLES["videos"].columns]
            connection.execute(f"INSERT INTO videos VALUES ({_places(names)})", [row[name] for name in names])
        for result in results:
            key = [file.video_id, result.key.step, result.key.config_id, result.key.model_id]
            # another run may have committed it since this one planned
            same = "video_id = ? AND step = ? AND config_id = ? AND model_id IS NOT DISTINCT FROM ?"
            if _count(connection, f"steps WHERE {same}", key):
                continue
            num_rows = 0
            for table, reader in result.tables.items():
                written = _append(connection, table, reader())
                num_rows = written if table == result.key.step else num_rows
            values = [*key, run_id, result.outcome.value, result.detail, num_rows, seconds, now]
            connection.execute(f"INSERT INTO steps VALUES ({_places(values)})", values)

    lake.transact(work)


def _append(connection: duckdb.DuckDBPyConnection, table: str, rows: object) -> int:
    """Insert an Arrow reader's rows by name and return their number; DuckDB takes them batch by batch."""
    names = ", ".join(name for name, _, _ in TABLES[table].columns)
    connection.register("staged_rows", rows)
    try:
        result = connection.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM staged_rows").fetchone()
    finally:
        connection.unregister("staged_rows")
    return int(result[0]) if result else 0


def _count(connection: duckdb.DuckDBPyConnection, source: str, values: list[str | None]) -> int:
    row = connection.execute(f"SELECT count(*) FROM {source}", values).fetchone()
    return int(row[0]) if row else 0


def _places(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
