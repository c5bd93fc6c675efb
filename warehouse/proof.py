"""Prove that a target is gone: every data file read directly, the catalog searched byte by byte, time travel tried."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import duckdb
import pyarrow as pa
from pyarrow import dataset

from moodreel.warehouse.catalog import read_catalog_file, search_catalog
from moodreel.warehouse.lake import Lake
from moodreel.warehouse.statistics import loose_bounds
from moodreel.warehouse.target import INTENT, Target, conditions, literal
from moodreel.warehouse.tombstones import erased_among


class NotErasedError(Exception):
    """Something of what was to be erased is left; the message names it."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What was looked through and held nothing of the target."""

    num_data_files: int
    num_catalog_bytes: int
    num_snapshots: int


def prove_erased(lake: Lake, target: Target) -> Proof:
    """Look for a target wherever it could be.

    Raises:
        NotErasedError: it is somewhere; the message names the first such places.
    """
    files = sorted((lake.folder / "data").rglob("*.parquet"))
    versions = [int(str(version)) for (version,) in lake.query("SELECT snapshot_id FROM ducklake_snapshots('lake')")]
    left = [str(path) for path in files if holds_target(path, target)]
    left += [*_in_catalog(lake, target), *_by_time_travel(lake, target, versions), *_elsewhere(lake, target)]
    if target.video_id not in erased_among(lake, [target.video_id]):
        left.append("no tombstone: a later night would bring it back")
    if left:
        more = f" and {len(left) - 3} more places" if len(left) > 3 else ""
        raise NotErasedError(f"{target.named} is not erased yet, erase it again; left: {'; '.join(left[:3])}{more}")
    catalog = sum(path.stat().st_size for path in lake.folder.glob("catalog.sqlite*"))
    return Proof(len(files), catalog, len(versions))


def holds_target(path: Path, target: Target) -> bool:
    """Say whether a Parquet file, read directly, has rows of a target, or of a video any text that names it.

    One that can't be read, such as a killed run's, might have.
    """
    with duckdb.connect(config={"memory_limit": "1GB", "threads": 2}) as connection:
        try:
            connection.register("file", dataset.dataset(path, format="parquet"))  # DuckDB takes a name with [ for many
        except (pa.ArrowException, OSError):
            return True
        columns = connection.execute("DESCRIBE file").fetchall()
        kinds = {str(name): str(kind) for name, kind, *_ in columns}
        tests = [target.condition(kinds)]
        if target.track_id is None:
            texts = [name for name, kind in kinds.items() if kind in ("VARCHAR", "JSON")]
            tests += [_names_it(name, target) for name in texts]
        sql = " OR ".join(f"({test})" for test in tests if test)
        return bool(sql) and connection.execute(f"FROM file WHERE {sql} LIMIT 1").fetchone() is not None


def _names_it(column: str, target: Target) -> str:
    spared = reduce(
        lambda text, path: f"replace({text}, {literal(path)}, '')", target.longer_paths, f'"{column}"::VARCHAR'
    )
    return " OR ".join(f"contains({spared}, {literal(needle)})" for needle in (target.video_id, *target.paths))


def _in_catalog(lake: Lake, target: Target) -> Iterator[str]:
    needles = [bytes.fromhex(mark) for mark in target.marks]
    if target.track_id is None:
        needles = [text.encode() for text in (target.video_id, *target.paths)]
    yield from search_catalog(lake.folder, needles, [path.encode() for path in target.longer_paths])
    yield from (f"catalog.sqlite: bounds of {column}" for column in loose_bounds(lake.folder, conditions(target)))
    [inlined, [[num_free]]] = read_catalog_file(
        lake.folder,
        "SELECT inlined.table_name, ducklake_table.table_name"
        " FROM ducklake_inlined_data_tables AS inlined JOIN ducklake_table USING (table_id)",
        "PRAGMA freelist_count",
    )
    for name, table in inlined:
        if table in conditions(target) and read_catalog_file(lake.folder, f"SELECT 1 FROM {name} LIMIT 1") != [[]]:
            yield f"catalog.sqlite: inlined rows of {table}"
    if num_free:
        yield f"catalog.sqlite: {num_free} free pages"


def _by_time_travel(lake: Lake, target: Target, versions: list[int]) -> Iterator[str]:
    for version in versions:
        for table, condition in conditions(target).items():
            try:
                found = lake.query(f"SELECT 1 FROM {table} AT (VERSION => {version}) WHERE {condition} LIMIT 1")
            except duckdb.Error:  # the table is younger than the snapshot, or its files are gone
                continue
            if found:
                yield f"{table} at version {version}"


def _elsewhere(lake: Lake, target: Target) -> Iterator[str]:
    """Look for the video's id in the names of files: staged rows lie under it."""
    for path in lake.folder.rglob("*"):
        if target.video_id in path.name and path.name != INTENT:
            yield str(path)
