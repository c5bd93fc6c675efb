"""What a million videos would take, from a night over a folder here: python tests/support/bench_million.py FOLDER.

Upkeep runs before the sizes are read, so they are those of merged files without history. docs/scale.md says what the
figures leave out.
"""

import json
import os
import sys
import tempfile
from collections import defaultdict
from datetime import timedelta
from pathlib import Path
from typing import Final

from commands import timed

from moodreel.flows.upkeep import maintain_warehouse
from moodreel.warehouse.ask import ask

NUM_VIDEOS: Final = 1_000_000
MINUTES: Final = 5.0  # of each
DAYS: Final = 30.0  # in which the archive is to be done


def main(folder: Path, warehouse: Path) -> None:
    """Print what an hour of video takes here, then a million videos."""
    printed, clock_s, processor_s = timed("run", folder, "--warehouse", warehouse, "--json")
    video_h = json.loads(printed)["video_seconds"] / 3600
    [health] = ask(warehouse, "SELECT times_real_time, working_seconds FROM run_health").to_pylist()
    commit_s = health["working_seconds"]
    maintain_warehouse(warehouse, None, keep_snapshots_days=0, min_age=timedelta(0))
    sizes: dict[str, int] = defaultdict(int)
    for path in (warehouse / "data").rglob("*.parquet"):
        sizes[path.parent.name] += path.stat().st_size
    sizes["catalog"] = (warehouse / "catalog.sqlite").stat().st_size
    hours = NUM_VIDEOS * MINUTES / 60
    print(
        f"{video_h * 60:.1f} minutes of video, {os.cpu_count()} processors, {health['times_real_time']:.2f} x real time"
    )
    print(f"whole run {clock_s:.0f} s, of which {commit_s:.0f} s between the first video and the last commit")
    core_h = commit_s / 3600 * (os.cpu_count() or 1) / video_h
    print(f"\n| | an hour of video | {NUM_VIDEOS:,} videos of {MINUTES:g} minutes |\n| --- | ---: | ---: |")
    print(f"| processor hours, of {os.cpu_count()} processors busy or not | {core_h:.3f} | {core_h * hours:,.0f} |")
    print(f"| processor hours used, start included | {processor_s / 3600 / video_h:.3f} | |")
    print(f"| processors for {DAYS:g} days | | {core_h * hours / (DAYS * 24):,.0f} |")
    for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
        print(f"| {name}, bytes | {size / video_h / 1e6:,.2f} MB | {size / video_h * hours / 1e9:,.0f} GB |")
    total = sum(sizes.values())
    print(f"| all tables | {total / video_h / 1e6:,.2f} MB | {total / video_h * hours / 1e12:,.2f} TB |")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(sys.argv[1]), Path(scratch) / "lake")
