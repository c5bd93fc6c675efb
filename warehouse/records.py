"""What the lake remembers of runs, sightings, failures and steps."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime

import duckdb

from moodreel.schemas.manifest import Manifest
from moodreel.schemas.reasons import VideoError
from moodreel.schemas.values import FileStamp, RunCounts, StepKey, VideoFile
from moodreel.warehouse.append import append_rows
from moodreel.warehouse.lake import Lake


def start_run(lake: Lake, run_id: str, flow: str, config: str, code_version: str, purpose: str | None = None) -> None:
    """Write the run's row as running; a row that stays so tells of a killed run."""

    def work(connection: duckdb.DuckDBPyConnection) -> None:
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
    """Remember which paths hold which content, in one transaction."""
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
    ]
    lake.transact(lambda connection: append_rows(connection, "sightings", rows))


def known_contents(lake: Lake) -> dict[tuple[str, FileStamp], str]:
    """Return the content ids of all sightings by path and stamp."""
    rows = lake.query("SELECT DISTINCT path, size_bytes, mtime_ns, inode, video_id FROM sightings")
    return {(str(path), FileStamp(*stamp)): str(video_id) for path, *stamp, video_id in rows}  # type: ignore[arg-type]  # DuckDB's rows are untyped


def record_failure(lake: Lake, run_id: str, path: str, video_id: str | None, error: VideoError, attempt: int) -> None:
    """Write one failed attempt."""
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
    lake.transact(lambda connection: append_rows(connection, "failures", [row]))


def hopeless_contents(lake: Lake, code_version: str) -> set[str]:
    """Return content ids, and paths of what could not be read, that failed for good under this version."""
    rows = lake.query(
        "SELECT DISTINCT coalesce(video_id, path) FROM failures JOIN runs USING (run_id)"
        " WHERE NOT retryable AND code_version = ?",
        [code_version],
    )
    return {str(key) for (key,) in rows}


def committed_steps(lake: Lake) -> dict[str, set[StepKey]]:
    """Return the committed steps of every video."""
    found: dict[str, set[StepKey]] = {}
    for video_id, *key in lake.query("SELECT video_id, step, config_id, model_id FROM steps"):
        found.setdefault(str(video_id), set()).add(StepKey(*key))  # type: ignore[arg-type]  # DuckDB's rows are untyped
    return found


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
