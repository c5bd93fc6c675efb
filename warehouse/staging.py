"""Rows of videos that are still being analysed, as Parquet files outside the lake.

A run stages under `staging/RUN_ID` and holds a lock there that ends with its process: what a killed run left is
removed by the next one.
"""

import resource
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from moodreel.schemas.values import Part


class StagingArea:
    """A run's folder of staged videos."""

    def __init__(self, warehouse: Path, run_id: str) -> None:
        _allow_many_files()
        remove_abandoned(warehouse)
        root = warehouse.resolve() / "staging"
        root.mkdir(parents=True, exist_ok=True)
        self._folder = root / run_id
        self._lock = FileLock(root / f"{run_id}.lock")
        self._lock.acquire()
        self._folder.mkdir()

    def video(self, video_id: str) -> "StagedVideo":
        """Return an empty place for a video's rows."""
        folder = self._folder / video_id
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return StagedVideo(folder)

    def close(self) -> None:
        """Remove everything staged."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._lock.release()
        Path(self._lock.lock_file).unlink(missing_ok=True)


class StagedVideo:
    """The rows of one video's units, kept in the order of the units."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[Path, pq.ParquetWriter] = {}
        self._lock = threading.Lock()

    def add(self, unit: int, part: Part) -> None:
        """Append rows of a unit; units may come in any order, the rows of one in theirs."""
        path = self._folder / f"{_stream(part.table, part.model)}.{unit:06d}.parquet"
        with self._lock:  # units come from several threads
            if path not in self._writers:
                self._writers[path] = pq.ParquetWriter(path, part.rows.schema)
            self._writers[path].write_table(part.rows)

    def close(self) -> None:
        """Close the files: from now on they can be read."""
        while self._writers:
            self._writers.popitem()[1].close()

    def num_rows(self, table: str) -> int:
        """Return how many rows of a table all units gave."""
        return sum(pq.read_metadata(path).num_rows for path in self._folder.glob(f"{table}.*.parquet"))

    def batches(
        self, table: str, model: str | None = None, columns: list[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield all rows of a table in the order of the units."""
        for path in sorted(self._folder.glob(f"{_stream(table, model)}.*.parquet")):
            # without pre_buffer, which would read the whole file at once
            with pq.ParquetFile(path, pre_buffer=False) as file:
                yield from file.iter_batches(batch_size=256, columns=columns)

    def remove(self) -> None:
        """Forget the video."""
        self.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _allow_many_files() -> None:
    """Let this process open as many files as it may: a day of video is hundreds of units with some files each."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _stream(table: str, model: str | None) -> str:
    return f"{table}@{model}" if model else table


def remove_abandoned(warehouse: Path) -> None:
    """Remove what killed runs staged; the folders of living ones stay."""
    root = warehouse.resolve() / "staging"
    for folder in [path for path in root.glob("*") if path.is_dir()]:
        lock = FileLock(root / f"{folder.name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue  # its run is alive
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)
