"""Commit a video: all its rows and its steps in one transaction, or nothing."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import duckdb

from moodreel.schemas.values import StepResult, VideoFile, VideoInfo
from moodreel.warehouse.append import NEW_ROWS, append_reader, append_rows, offered
from moodreel.warehouse.lake import Lake
from moodreel.warehouse.tallies import TALLY_OF, count_rows


def commit_video(
    lake: Lake, run_id: str, file: VideoFile, info: VideoInfo, results: Sequence[StepResult], seconds: float
) -> bool:
    """Write a video's row, the tables of its steps and the steps, leaving out steps that are there already.

    Args:
        lake: the warehouse.
        run_id: the run that did the work.
        file: the video.
        info: what probing told.
        results: the finished steps.
        seconds: wall time that the video took.

    Returns:
        Whether anything was left to write: another run may have committed all of it since this one planned.
    """

    def work(connection: duckdb.DuckDBPyConnection) -> bool:
        now = datetime.now(UTC)
        if not _count(connection, "videos WHERE video_id = ?", [file.video_id]):
            row = {
                **asdict(info),
                "video_id": file.video_id,
                "path": file.path,
                "size_bytes": file.stamp.size_bytes,
                "analysed_at": now,
            }
            append_rows(connection, "videos", [row])
        return _write_steps(connection, run_id, file.video_id, results, seconds, now)

    return lake.transact(work)


def commit_steps(lake: Lake, run_id: str, video_id: str, results: Sequence[StepResult], seconds: float) -> bool:
    """Write steps of a video that the warehouse knows already; see `commit_video`."""
    return lake.transact(
        lambda connection: _write_steps(connection, run_id, video_id, results, seconds, datetime.now(UTC))
    )


def _write_steps(
    connection: duckdb.DuckDBPyConnection,
    run_id: str,
    video_id: str,
    results: Sequence[StepResult],
    seconds: float,
    now: datetime,
) -> bool:
    has_written = False
    for result in results:
        key = [video_id, result.key.step, result.key.config_id, result.key.model_id]
        same = "video_id = ? AND step = ? AND config_id = ? AND model_id IS NOT DISTINCT FROM ?"
        if _count(connection, f"steps WHERE {same}", key):
            continue
        num_rows = 0
        for table, reader in result.tables.items():
            written = append_reader(connection, table, reader())
            num_rows = written if table == result.key.step else num_rows
            if table in TALLY_OF:
                with offered(connection, reader()):
                    count_rows(connection, table, NEW_ROWS)
        step = {
            **asdict(result.key),
            "video_id": video_id,
            "run_id": run_id,
            "outcome": result.outcome.value,
            "detail": result.detail,
            "num_rows": num_rows,
            "seconds": seconds,
            "committed_at": now,
        }
        append_rows(connection, "steps", [step])
        has_written = True
    return has_written


def _count(connection: duckdb.DuckDBPyConnection, source: str, values: list[str | None]) -> int:
    row = connection.execute(f"SELECT count(*) FROM {source}", values).fetchone()
    return int(row[0]) if row else 0
