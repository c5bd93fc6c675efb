"""How long a night over unchanged files takes: python tests/support/bench_nothing_new.py [FILES] [FOLDER].

The lake holds what 100 nights leave in the tables that a plan reads: sightings, videos, steps, runs. A night's rows
are one transaction here, not one a video, so that the lake is made in a minute; it then is as upkeep would leave it. No
frame or face is in it; a plan reads none. FOLDER keeps files and lake for the next time.
"""

import json
import sys
import tempfile
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import duckdb
from commands import timed

from moodreel.flows.night import analysis_config
from moodreel.schemas.config import NightRequest
from moodreel.schemas.values import RunCounts, VideoFile, VideoInfo
from moodreel.tasks.discover import discover_videos
from moodreel.tasks.plan import wanted_steps
from moodreel.warehouse.append import append_rows
from moodreel.warehouse.lake import Lake
from moodreel.warehouse.records import finish_run, record_sightings, start_run

_NIGHTS = 100
_INFO = VideoInfo(60.0, 25.0, 1280, 720, "h264", "aac", 0)


def main(num_files: int, home: Path) -> None:
    """Fill the folder if need be, and run three nights over it."""
    videos, warehouse = home / "videos", home / "warehouse"
    if not warehouse.exists():
        make_files(videos, num_files)
        started = time.monotonic()
        fill_lake(videos, warehouse)
        print(f"{num_files} files, {time.monotonic() - started:.0f} s to make their lake", file=sys.stderr)
    print("| night | files | seconds, the program's start included | of a processor |\n| --- | --- | --- | --- |")
    for night in (1, 2, 3):  # the first warms the file cache
        printed, clock_s, processor_s = timed("run", videos, "--warehouse", warehouse, "--json")
        said = json.loads(printed)
        assert (said["num_analysed"], said["num_skipped"]) == (0, num_files), said
        print(f"| {night} | {num_files} | {clock_s:.1f} | {processor_s:.1f} |", flush=True)


def make_files(folder: Path, num_files: int) -> None:
    """Write small distinct files, a thousand a folder, named as videos."""
    for number in range(num_files):
        path = folder / f"camera {number // 1000}" / f"{number:05d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\0\0\0\x18ftypmp42" + number.to_bytes(1000, "big"))


def fill_lake(folder: Path, warehouse: Path) -> None:
    """Write each file's sighting, video and steps as if nights had analysed it."""
    request = NightRequest(folder=str(folder), warehouse=str(warehouse))
    wanted = wanted_steps(analysis_config(request))
    files = discover_videos(folder).files
    lake = Lake(warehouse)
    for night in range(_NIGHTS):
        run_id, batch, now = f"{night:032x}", files[night::_NIGHTS], datetime.now(UTC)
        start_run(lake, run_id, "nightly", request.model_dump_json(), "0")
        record_sightings(lake, run_id, batch)
        ended = {"outcome": "ok", "num_rows": 100, "seconds": 20.0, "committed_at": now, "run_id": run_id}
        steps = [{**asdict(key), **ended, "video_id": file.video_id} for file in batch for key in wanted]
        videos = [_video_row(file, now) for file in batch]

        def write(
            connection: duckdb.DuckDBPyConnection,
            videos: list[dict[str, object]] = videos,
            steps: list[dict[str, object]] = steps,
        ) -> None:
            append_rows(connection, "videos", videos)
            append_rows(connection, "steps", steps)

        lake.transact(write)
        finish_run(lake, run_id, "completed", RunCounts(len(batch), night * len(batch), 0, 0))
    lake.close()


def _video_row(file: VideoFile, now: datetime) -> dict[str, object]:
    ids = {"video_id": file.video_id, "path": file.path, "size_bytes": file.stamp.size_bytes}
    return {**ids, **asdict(_INFO), "analysed_at": now}


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    if len(sys.argv) > 2:
        main(count, Path(sys.argv[2]))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(count, Path(scratch))
