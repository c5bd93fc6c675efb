"""Insert rows into a table of the lake, by name and in bulk."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

import duckdb
import pyarrow as pa

from moodreel.schemas.tables import TABLES

NEW_ROWS: Final = "new_rows"


@contextmanager
def offered(connection: duckdb.DuckDBPyConnection, rows: object) -> Iterator[None]:
    """Let SQL read an Arrow table or reader as `new_rows`; DuckDB takes a reader batch by batch, and once."""
    connection.register(NEW_ROWS, rows)
    try:
        yield
    finally:
        connection.unregister(NEW_ROWS)


def append_reader(connection: duckdb.DuckDBPyConnection, table: str, rows: object) -> int:
    """Insert an Arrow table's or reader's rows and return their number."""
    names = ", ".join(name for name, _, _ in TABLES[table].columns)
    with offered(connection, rows):
        result = connection.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM {NEW_ROWS}").fetchone()
    return int(result[0]) if result else 0


def append_rows(connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert rows given by column name; a column that is not named is NULL."""
    if rows:
        # JSON travels as text
        kinds = {name: pa.string() if kind == pa.json_() else kind for name, kind, _ in TABLES[table].columns}
        columns = {name: pa.array([row.get(name) for row in rows], kind) for name, kind in kinds.items()}
        append_reader(connection, table, pa.table(columns))
