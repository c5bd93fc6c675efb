"""Answer one SELECT, read-only: nothing but the lake's tables is in reach, and memory and time have a limit."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from moodreel.warehouse.connect import CATALOG, quoted
from moodreel.warehouse.lake import WarehouseError, open_reader

TIMEOUT_S: Final = 300.0
_BATCH_ROWS: Final = 1024  # of crops about 8 MB
_EXPLAIN: Final = re.compile(r"\s*EXPLAIN\s+(ANALYZE\s+)?", re.IGNORECASE)
# All others are refused by name, since the reader's lock lets some through that reach files: sqlite_scan opens any
# database of the machine, enable_logging and ducklake_flush_inlined_data write into the data folder.
_TABLE_FUNCTIONS: Final = frozenset(
    {
        "duckdb_columns",
        "duckdb_functions",
        "duckdb_tables",
        "duckdb_views",
        "ducklake_current_snapshot",
        "ducklake_snapshots",
        "ducklake_table_changes",
        "ducklake_table_deletions",
        "ducklake_table_info",
        "ducklake_table_insertions",
        "generate_series",
        "json_each",
        "json_tree",
        "range",
        "repeat",
        "unnest",
    }
)
_LOOKS_LIKE_A_FILE: Final = re.compile(r"[./\\:*?\[]")


@dataclass(frozen=True, slots=True)
class Answer:
    """A query's columns and its rows, which are computed while they are read."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]


@contextmanager
def answering(warehouse: Path, query: str, timeout_s: float = TIMEOUT_S) -> Iterator[Answer]:
    """Give a SELECT's answer over the warehouse's tables and views, batch by batch.

    Args:
        warehouse: the folder of the tables.
        query: one SELECT, or EXPLAIN of one.
        timeout_s: how long the query may take, reading of its rows included.

    Raises:
        WarehouseError: no warehouse is there, the query is not one SELECT over it, it takes too long, or DuckDB
            refuses it. The same comes while the rows are read.
    """
    connection = open_reader(warehouse)
    try:
        with _TimeLimit(connection, timeout_s) as limit:
            with limit.told():
                _check(connection, query)
                reader = connection.execute(query).to_arrow_reader(_BATCH_ROWS)
            yield Answer(reader.schema, _batches(reader, limit))
    finally:
        connection.close()


def ask(warehouse: Path, query: str, timeout_s: float = TIMEOUT_S) -> pa.Table:
    """Return the whole answer of `answering`.

    Raises:
        WarehouseError: as there.
    """
    with answering(warehouse, query, timeout_s) as answer:
        return pa.Table.from_batches(answer.batches, answer.schema)


def _check(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    """Refuse everything but one SELECT, or EXPLAIN of one, over tables and views.

    EXPLAIN ANALYZE executes what it explains, and DuckDB types some PRAGMAs as SELECT: so what is behind EXPLAIN is
    parsed by itself, by the parser that serializes SELECT alone.
    """
    explained = _EXPLAIN.match(query)  # at the start alone: elsewhere it may be text or a comment, which must stay
    select = query[explained.end() :] if explained else query
    row = connection.execute(f"SELECT json_serialize_sql('{quoted(select)}')").fetchone()
    assert row is not None
    parsed = json.loads(row[0])
    if parsed["error"] and parsed["error_type"] == "parser":
        raise WarehouseError(f"the query is no SQL: {parsed['error_message']}")
    if parsed["error"] or len(parsed["statements"]) != 1:
        raise WarehouseError("give exactly one SELECT: the warehouse is read-only here")
    for name in _unreachable(parsed):
        raise WarehouseError(f"{name} is out of reach: ask the warehouse's own tables and views")


def _unreachable(node: Any) -> Iterator[str]:
    """Yield what a parsed statement names that is no table and no harmless function."""
    if isinstance(node, dict):
        kind = node.get("type")
        if kind == "TABLE_FUNCTION" and (name := node["function"]["function_name"].lower()) not in _TABLE_FUNCTIONS:
            yield f"{name}()"
        # a file's name stands for its rows wherever no table has that name
        elif kind in ("BASE_TABLE", "SHOW_REF") and _LOOKS_LIKE_A_FILE.search(node["table_name"]):
            yield node["table_name"]
        # the catalog's own database may hold more than the lake
        elif kind in ("BASE_TABLE", "SHOW_REF") and _is_of_catalog(node):
            yield CATALOG
        elif kind == "FUNCTION" and node.get("function_name") == "json_serialize_plan":  # binds any SQL in a string
            yield "json_serialize_plan()"
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from _unreachable(part)


def _is_of_catalog(node: dict[str, Any]) -> bool:
    return CATALOG in (str(node.get("catalog_name")).lower(), str(node.get("schema_name")).lower())


class _TimeLimit:
    """Interrupts a connection's query when its time is over."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, timeout_s: float) -> None:
        self._connection, self._timeout_s = connection, timeout_s
        self._is_done, self._is_over = threading.Event(), threading.Event()
        self._clock = threading.Thread(target=self._watch, name="time limit", daemon=True)

    def __enter__(self) -> "_TimeLimit":
        self._clock.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_done.set()
        self._clock.join()

    @contextmanager
    def told(self) -> Iterator[None]:
        """Turn what DuckDB raises, and an answer that comes too late, into one clear line.

        Raises:
            WarehouseError: in place of DuckDB's own errors.
        """
        try:
            yield
        except (duckdb.Error, OSError, pa.ArrowException) as error:  # Arrow's reader wraps DuckDB's in its own
            if not self._is_over.is_set():
                raise WarehouseError(" ".join(str(error).split())) from error
        if self._is_over.is_set():
            raise WarehouseError(f"the query took more than {self._timeout_s:g} s: ask for less, or raise --timeout")

    def _watch(self) -> None:
        if self._is_done.wait(self._timeout_s):
            return
        self._is_over.set()
        while not self._is_done.wait(0.1):  # again and again: between two of its steps there is nothing to interrupt
            self._connection.interrupt()


def _batches(reader: pa.RecordBatchReader, limit: _TimeLimit) -> Iterator[pa.RecordBatch]:
    while True:
        with limit.told():
            batch = next(reader, None)
        if batch is None:
            return
        yield batch
