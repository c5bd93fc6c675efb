"""Commit a video: all its rows and its steps in one transaction, or nothing."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import duckdb

from moodreel.schemas.values import RESTS_ON, StepKey, StepResult, VideoFile, VideoInfo
from moodreel.warehouse.append import NEW_ROWS, append_reader, append_rows, offered
from moodreel.warehouse.lake import Lake
from moodreel.warehouse.tallies import TALLY_OF, count_rows
from moodreel.warehouse.tombstones import scopes_erased


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
        Whether anything was left to write: since this run planned, another one may have committed all of it, the video
        may have been erased, or upkeep may have removed the rows that these refer to.
    """

    def work(connection: duckdb.DuckDBPyConnection) -> bool:
        now = datetime.now(UTC)
        if scopes_erased(lake, connection, file.video_id) or not _has_sources(connection, file.video_id, results):
            return False
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


def commit_steps(
    lake: Lake,
    run_id: str,
    video_id: str,
    results: Sequence[StepResult],
    seconds: float,
    num_source_rows: int | None = None,
) -> bool:
    """Write steps of a video that the warehouse knows already; see `commit_video`.

    Args:
        lake: the warehouse.
        run_id: the run that did the work.
        video_id: the video.
        results: the finished steps.
        seconds: wall time that they took.
        num_source_rows: of the stored step that these rest on, as many as were read; None leaves that open.

    Returns:
        Whether anything was left to write.
    """

    def work(connection: duckdb.DuckDBPyConnection) -> bool:
        is_gone = "video" in scopes_erased(lake, connection, video_id)
        if is_gone or not _has_sources(connection, video_id, results, num_source_rows):
            return False
        return _write_steps(connection, run_id, video_id, results, seconds, datetime.now(UTC))

    return lake.transact(work)


def _has_sources(
    connection: duckdb.DuckDBPyConnection,
    video_id: str,
    results: Sequence[StepResult],
    num_rows: int | None = None,
) -> bool:
    """Say whether what these steps rest on is there, with so many rows: a run that slept has lost its leases."""
    own = {result.key for result in results}
    for key in own:
        source = StepKey(RESTS_ON[key.step], key.config_id, None) if key.step in RESTS_ON else None
        if source is None or source in own:
            continue
        found = connection.execute(
            "SELECT num_rows FROM steps WHERE video_id = ? AND step = ? AND config_id = ?",
            [video_id, source.step, source.config_id],
        ).fetchone()
        if found is None or num_rows not in (None, found[0]):
            return False
    return True


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
