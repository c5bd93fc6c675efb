"""What a million videos would take, from a night over a folder here: python tests/support/bench_million.py FOLDER.

Upkeep runs before the sizes are read, so they are those of merged files without history. docs/scale.md says what the
figures leave out.
"""

import json
import os
import sys
import tempfile
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Final

from commands import timed

from moodreel.flows.upkeep import maintain_warehouse
from moodreel.warehouse.ask import ask

NUM_VIDEOS: Final = 1_000_000
MINUTES: Final = 5.0  # of each
DAYS: Final = 30.0  # in which the archive is to be done
NAMED: Final = 0.001  # of all bytes; a table with less is not told apart: here it is little but its file's frame


def main(folder: Path, warehouse: Path) -> None:
    """Print what an hour of video takes here, then a million videos."""
    printed, clock_s, _ = timed("run", folder, "--warehouse", warehouse, "--json")
    video_h = json.loads(printed)["video_seconds"] / 3600
    [health] = ask(warehouse, "SELECT times_real_time, working_seconds FROM run_health").to_pylist()
    [counts] = ask(warehouse, "SELECT sum(num_faces) AS faces, count(*) AS frames FROM frames").to_pylist()
    report = maintain_warehouse(warehouse, None, keep_snapshots_days=0, min_age=timedelta(0))
    sizes: Counter[str] = Counter()
    for path in (warehouse / "data").rglob("*.parquet"):
        sizes[path.parent.name] += path.stat().st_size
    working_s, num_processors = health["working_seconds"], os.cpu_count() or 1
    print(
        f"{video_h * 60:.1f} minutes of video, {num_processors} processors, {health['times_real_time']:.2f} x real time"
    )
    print(f"{counts['faces'] / counts['frames']:.2f} faces a frame; catalog {report.after.catalog_bytes / 1e6:.2f} MB")
    print(f"whole run {clock_s:.0f} s, {working_s:.0f} s of them from the first video's beginning to the last commit")
    hours = NUM_VIDEOS * MINUTES / 60
    processor_h = working_s / 3600 * num_processors / video_h
    print(f"\n| | an hour of video | {NUM_VIDEOS:,} videos of {MINUTES:g} minutes |\n| --- | ---: | ---: |")
    print(f"| processor hours, busy or not | {processor_h:.2f} | {processor_h * hours:,.0f} |")
    print(f"| processors for {DAYS:g} days | | {processor_h * hours / (DAYS * 24):,.0f} |")
    total = sum(sizes.values())
    for name, size in sizes.most_common():
        if size > NAMED * total:
            print(f"| {name} | {size / video_h / 1e6:,.2f} MB | {size / video_h * hours / 1e9:,.0f} GB |")
    print(f"| all tables | {total / video_h / 1e6:,.2f} MB | {total / video_h * hours / 1e9:,.0f} GB |")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(sys.argv[1]), Path(scratch) / "lake")
