"""Prove that a target is gone: every data file read directly, the catalog searched, time travel tried."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import reduce

import duckdb

from moodreel.warehouse.files import DataFiles, table_of
from moodreel.warehouse.lake import Lake
from moodreel.warehouse.statistics import loose_bounds
from moodreel.warehouse.target import INTENT, Target, conditions, literal, tables_naming
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
    versions = [int(str(version)) for (version,) in lake.query("SELECT snapshot_id FROM ducklake_snapshots('lake')")]
    with closing(DataFiles(lake.storage)) as files:
        paths = files.paths()
        left = [path for path in paths if holds_target(files, path, target)]
        left += [path for path in files.paths("*") if target.video_id in path]
    left += [*_in_catalog(lake, target), *_by_time_travel(lake, target, versions), *_elsewhere(lake, target)]
    if target.video_id not in erased_among(lake, [target.video_id]):
        left.append("no tombstone: a later night would bring it back")
    if left:
        more = f" and {len(left) - 3} more places" if len(left) > 3 else ""
        raise NotErasedError(f"{target.named} is not erased yet, erase it again; left: {'; '.join(left[:3])}{more}")
    return Proof(len(paths), lake.catalog.num_bytes(), len(versions))


def holds_target(files: DataFiles, path: str, target: Target) -> bool:
    """Say whether a Parquet file, read directly, has rows of a target, or of a video any text that names it.

    One that can't be read, such as a killed run's, might have if its table can.
    """
    try:
        kinds = files.columns(path)
        tests = [target.condition(kinds)]
        if target.track_id is None:
            texts = [name for name, kind in kinds.items() if kind in ("VARCHAR", "JSON")]
            tests += [_names_it(name, target) for name in texts]
        condition = " OR ".join(f"({test})" for test in tests if test)
        return bool(condition) and files.has_row(path, condition)
    except duckdb.Error:
        return table_of(path) in tables_naming(target)


def _names_it(column: str, target: Target) -> str:
    spared = reduce(
        lambda text, path: f"replace({text}, {literal(path)}, '')", target.longer_paths, f'"{column}"::VARCHAR'
    )
    return " OR ".join(f"contains({spared}, {literal(needle)})" for needle in (target.video_id, *target.paths))


def _in_catalog(lake: Lake, target: Target) -> Iterator[str]:
    needles = [bytes.fromhex(mark) for mark in target.marks]
    if target.track_id is None:
        needles = [text.encode() for text in (target.video_id, *target.paths)]
    catalog = lake.catalog
    yield from catalog.search(needles, [path.encode() for path in target.longer_paths])
    yield from (f"{catalog.name}: bounds of {column}" for column in loose_bounds(catalog, conditions(target)))
    inlined = catalog.query(
        "SELECT inlined.table_name AS inlined_in, ducklake_table.table_name"
        " FROM ducklake_inlined_data_tables AS inlined JOIN ducklake_table USING (table_id)"
    )
    for name, table in inlined:
        if table in conditions(target) and catalog.query(f"SELECT 1 FROM {name} LIMIT 1"):
            yield f"{catalog.name}: inlined rows of {table}"
    yield from catalog.leftovers()


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
