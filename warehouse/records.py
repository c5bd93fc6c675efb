"""What the lake remembers of runs, sightings, failures and steps."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime

import duckdb

from moodreel.schemas.manifest import Manifest
from moodreel.schemas.reasons import COST_A_WORKER, VideoError
from moodreel.schemas.values import FileStamp, RunCounts, StepKey, VideoFile
from moodreel.warehouse.append import append_rows
from moodreel.warehouse.lake import Lake
from moodreel.warehouse.leases import RUN, Leases
from moodreel.warehouse.tombstones import scopes_erased


def start_run(lake: Lake, run_id: str, flow: str, config: str, code_version: str, purpose: str | None = None) -> None:
    """Write the run's row as running; a row that stays so tells of a killed run."""

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        # Prefect gives a flow run that is retried its old id
        connection.execute("DELETE FROM runs WHERE run_id = ?", [run_id])
        append_rows(
            connection,
            "runs",
            [
                {
                    "run_id": run_id,
                    "flow": flow,
                    "started_at": _now(),
                    "state": "running",
                    "purpose": purpose,
                    "config": config,
                    "code_version": code_version,
                }
            ],
        )

    lake.transact(work)


def close_dead_runs(lake: Lake, leases: Leases) -> list[str]:
    """Mark the runs that are running by their row and hold no lease as crashed; return their ids."""
    # in this order: a run takes its lease before it writes its row, and completes the row before it gives it back
    running = {str(run_id) for (run_id,) in lake.query("SELECT run_id FROM runs WHERE state = 'running'")}
    dead = sorted(running - {name.removeprefix(RUN) for name in leases.held(RUN)})
    if dead:
        sql = "UPDATE runs SET state = 'crashed' WHERE state = 'running' AND run_id IN ?"
        lake.transact(lambda connection: connection.execute(sql, [dead]))
    return dead


def finish_run(lake: Lake, run_id: str, state: str, counts: RunCounts | None) -> None:
    """Complete the run's row."""
    values = [counts.num_videos, counts.num_analysed, counts.num_skipped, counts.num_failed] if counts else [None] * 4

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute(
            "UPDATE runs SET finished_at = ?, state = ?, num_videos = ?, num_analysed = ?, num_skipped = ?,"
            " num_failed = ? WHERE run_id = ?",
            [_now(), state, *values, run_id],
        )

    lake.transact(work)


def record_sightings(lake: Lake, run_id: str, files: Iterable[VideoFile]) -> None:
    """Remember which paths hold which content where that is news, in one transaction."""
    last = _last_sightings(lake)
    rows = [
        {
            "video_id": file.video_id,
            "path": file.path,
            "size_bytes": file.stamp.size_bytes,
            "mtime_ns": file.stamp.mtime_ns,
            "inode": file.stamp.inode,
            "run_id": run_id,
            "seen_at": _now(),
        }
        for file in files
        if last.get(file.path) != (file.stamp, file.video_id)
    ]
    if rows:
        lake.transact(lambda connection: append_rows(connection, "sightings", rows))


def _last_sightings(lake: Lake) -> dict[str, tuple[FileStamp, str]]:
    """Return what each path held when last seen; a path that could not be read since is seen anew next time."""
    rows = lake.query(
        """
        SELECT path, size_bytes, mtime_ns, inode, video_id FROM sightings
        WHERE NOT EXISTS (
            FROM failures WHERE failures.path = sightings.path AND failures.video_id IS NULL AND failed_at > seen_at
        )
        QUALIFY row_number() OVER (PARTITION BY path ORDER BY seen_at DESC) = 1
        """
    )
    return {str(path): (FileStamp(*stamp), str(video_id)) for path, *stamp, video_id in rows}  # type: ignore[arg-type]  # DuckDB's rows are untyped


def known_contents(lake: Lake) -> dict[tuple[str, FileStamp], str]:
    """Return the content ids of all sightings by path and stamp."""
    rows = lake.query("SELECT path, size_bytes, mtime_ns, inode, video_id FROM sightings ORDER BY seen_at")
    return {(str(path), FileStamp(*stamp)): str(video_id) for path, *stamp, video_id in rows}  # type: ignore[arg-type]  # DuckDB's rows are untyped


def record_failure(lake: Lake, run_id: str, path: str, video_id: str | None, error: VideoError, attempt: int) -> None:
    """Write one failed attempt, unless the video was erased meanwhile."""
    row = {
        "path": path,
        "video_id": video_id,
        "run_id": run_id,
        "stage": error.stage,
        "reason": error.reason.value,
        "message": error.message,
        "retryable": error.retryable,
        "attempt": attempt,
        "failed_at": _now(),
    }

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        if video_id is None or "video" not in scopes_erased(lake, connection, video_id):
            append_rows(connection, "failures", [row])

    lake.transact(work)


def hopeless_contents(lake: Lake, code_version: str) -> set[str]:
    """Return content ids, and paths of what could not be read, that failed for good under this version."""
    rows = lake.query("SELECT coalesce(video_id, path) FROM open_failures WHERE hopeless_under = ?", [code_version])
    return {str(key) for (key,) in rows}


def quarantined_contents(lake: Lake, flow: str) -> set[str]:
    """Return content ids, and paths of what could not be read, that this flow tried in too many nights."""
    rows = lake.query("SELECT coalesce(video_id, path) FROM open_failures WHERE is_quarantined AND flow = ?", [flow])
    return {str(key) for (key,) in rows}


def costly_contents(lake: Lake, flow: str) -> set[str]:
    """Return the content ids of those that cost this flow a worker when it last tried them."""
    reasons = [reason.value for reason in COST_A_WORKER]
    sql = "SELECT video_id FROM open_failures WHERE video_id IS NOT NULL AND reason IN ? AND flow = ?"
    return {str(video_id) for (video_id,) in lake.query(sql, [reasons, flow])}


def pardon(lake: Lake, subjects: Iterable[tuple[str, str | None]]) -> None:
    """Let the next run try again what failed, given by path and content id."""
    rows = [{"path": path, "video_id": video_id, "pardoned_at": _now()} for path, video_id in subjects]
    lake.transact(lambda connection: append_rows(connection, "pardons", rows))


def committed_steps(lake: Lake) -> dict[str, set[StepKey]]:
    """Return the committed steps of every video."""
    found: dict[str, set[StepKey]] = {}
    for video_id, *key in lake.query("SELECT video_id, step, config_id, model_id FROM steps"):
        found.setdefault(str(video_id), set()).add(StepKey(*key))  # type: ignore[arg-type]  # DuckDB's rows are untyped
    return found


def committed_steps_of(lake: Lake, video_id: str) -> set[StepKey]:
    """Return the committed steps of one video."""
    rows = lake.query("SELECT step, config_id, model_id FROM steps WHERE video_id = ?", [video_id])
    return {StepKey(*row) for row in rows}  # type: ignore[arg-type]  # DuckDB's rows are untyped


def register_models(lake: Lake, manifests: Iterable[Manifest]) -> None:
    """Write the models that rows refer to, each once; a row of before reliability was kept is written anew."""
    rows_before = lake.query("SELECT model_id, reliability IS NOT NULL FROM models")
    known = {str(model_id): bool(is_told) for model_id, is_told in rows_before}
    rows = [
        {
            "model_id": manifest.model_id,
            "name": manifest.name,
            "version": manifest.version,
            "sha256": manifest.sha256,
            "task": manifest.task,
            "labels": list(manifest.labels),
            "licence": manifest.licence,
            "trained_on": manifest.trained_on,
            "metrics": json.dumps(manifest.metrics),
            "reliability": json.dumps(manifest.reliability) if manifest.reliability else None,
        }
        for manifest in manifests
        if manifest.model_id not in known or (manifest.reliability and not known[manifest.model_id])
    ]

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("DELETE FROM models WHERE model_id IN ?", [[row["model_id"] for row in rows]])
        append_rows(connection, "models", rows)

    if rows:
        lake.transact(work)


def _now() -> datetime:
    return datetime.now(UTC)
