"""Time the views over a made lake of many face rows: as its nights leave it, and after `moodreel maintain`."""

import statistics
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from blake3 import blake3
from rich.console import Console
from rich.table import Table

from moodreel.flows.upkeep import maintain_warehouse
from moodreel.schemas.labels import LABELS
from moodreel.schemas.tables import TABLES
from moodreel.schemas.values import FileStamp, Outcome, StepKey, StepResult, VideoFile, VideoInfo
from moodreel.warehouse.commit import commit_video
from moodreel.warehouse.lake import Lake, open_reader
from moodreel.warehouse.leases import Leases
from moodreel.warehouse.upkeep import merge_tallies

FACES_A_VIDEO = 5000  # a quarter of an hour, five frames a second, now and then two people
CONFIG, MODEL = "made", "made-1"


def fill(warehouse: Path, num_rows: int) -> str:
    """Commit made videos one by one, as nights do; return the id of one in the middle."""
    lake = Lake(warehouse)
    random = np.random.default_rng(0)
    ids = [blake3(str(number).encode()).hexdigest() for number in range(max(1, num_rows // FACES_A_VIDEO))]
    info = VideoInfo(FACES_A_VIDEO / 5, 25.0, 1280, 720, "h264", None, 0)
    for number, video_id in enumerate(ids):
        file = VideoFile(f"/made/{number:06d}.mp4", FileStamp(1, 1, number), video_id)
        commit_video(lake, "made", file, info, list(_results(video_id, random)), 1.0)
    with Leases(lake, "made") as leases:
        started = time.perf_counter()
        merge_tallies(lake, leases)
        print(f"the end of the night took {time.perf_counter() - started:.1f} s for {len(ids):,} videos")
    lake.close()
    return ids[len(ids) // 2]


def _results(video_id: str, random: np.random.Generator) -> Iterator[StepResult]:
    count = FACES_A_VIDEO
    odds = random.dirichlet([0.3] * len(LABELS), count).astype(np.float32)
    times = np.arange(count) / 5
    columns: dict[str, object] = {
        "video_id": [video_id] * count,
        "config_id": [CONFIG] * count,
        "face_id": np.arange(count),
        "model_id": [MODEL] * count,
        "ts_s": times,
        "track_id": random.integers(0, 8, count),
        **{label: odds[:, place] for place, label in enumerate(LABELS)},
        "label": [LABELS[place] for place in odds.argmax(axis=1)],
        "num_faces": np.ones(count, np.int64),
    }
    for step, table, model in (("faces", "frames", None), ("face_emotions", "face_emotions", MODEL)):
        schema = TABLES[table].schema
        rows = pa.table({name: columns[name] for name in schema.names}, schema)
        yield StepResult(StepKey(step, CONFIG, model), Outcome.OK, None, {table: lambda rows=rows: rows.to_reader()})


def seconds_of(warehouse: Path, video_id: str) -> dict[str, float]:
    """Return the median of five answers to each query, on a connection as `moodreel sql` opens it."""
    queries = {
        "video_emotions": "SELECT * FROM video_emotions",
        "person_emotions": "SELECT * FROM person_emotions",
        "emotion_timeline of one video": f"SELECT * FROM emotion_timeline WHERE video_id = '{video_id}'",
    }
    connection = open_reader(warehouse)
    taken = {}
    for name, sql in queries.items():
        times = []
        for _ in range(5):
            started = time.perf_counter()
            connection.execute(sql).to_arrow_table()
            times.append(time.perf_counter() - started)
        taken[name] = statistics.median(times)
    connection.close()
    return taken


def main() -> None:
    """Print the table."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="face rows of the made lake")
    num_rows: int = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        warehouse = Path(folder)
        video_id = fill(warehouse, num_rows)
        before = seconds_of(warehouse, video_id)
        started = time.perf_counter()
        report = maintain_warehouse(warehouse, None, keep_snapshots_days=0, min_age=timedelta(0))
        upkeep_s = time.perf_counter() - started
        after = seconds_of(warehouse, video_id)
    table = Table(f"{num_rows:,} face rows", "before upkeep", "after", "ratio")
    for name, seconds in before.items():
        table.add_row(name, f"{seconds * 1000:.0f} ms", f"{after[name] * 1000:.0f} ms", f"{after[name] / seconds:.2f}")
    for name in ("num_files", "data_bytes", "catalog_bytes", "num_snapshots"):
        one, other = getattr(report.before, name), getattr(report.after, name)
        table.add_row(name.replace("_", " "), f"{one:,}", f"{other:,}", f"{other / one:.2f}")
    Console().print(table, f"upkeep took {upkeep_s:.1f} s")


if __name__ == "__main__":
    main()
