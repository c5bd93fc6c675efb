"""Bring a lake up to date: numbered .sql files, then the declared tables, then the views.

Tables come from `schemas/tables.py`, so the files in `migrations/` hold only what a declaration can't say: renames,
changes of type, options. All happens in the caller's transaction.
"""

import hashlib
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from moodreel.schemas.tables import ALL_TABLES, Table
from moodreel.warehouse.connect import quoted
from moodreel.warehouse.storage import WarehouseError
from moodreel.warehouse.tallies import TALLY_OF, count_rows

_APPLIED: Final = "applied_migrations"
_SQL_TYPES: Final = {
    pa.string(): "VARCHAR",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.float32(): "FLOAT",
    pa.bool_(): "BOOLEAN",
    pa.binary(): "BLOB",
    pa.json_(): "JSON",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP WITH TIME ZONE",
    pa.list_(pa.float32()): "FLOAT[]",
    pa.list_(pa.string()): "VARCHAR[]",
}


def migrate(connection: duckdb.DuckDBPyConnection) -> None:
    """Apply what is not applied yet; without news nothing is written.

    Raises:
        WarehouseError: a newer version of moodreel made this warehouse.
    """
    if not _exists(connection, _APPLIED):
        connection.execute(f"CREATE TABLE {_APPLIED} (name VARCHAR NOT NULL, digest VARCHAR NOT NULL)")
    applied = dict(connection.execute(f"SELECT name, digest FROM {_APPLIED}").fetchall())
    known = sql_files("migrations")
    newer = {name for name in applied if name[:4].isdigit()} - set(known)
    if newer:
        raise WarehouseError(f"this warehouse was made by a newer moodreel ({min(newer)}): upgrade, or name another")
    for name, sql in known.items():
        if name not in applied:
            connection.execute(sql)
            _remember(connection, name, sql)
    present = _columns(connection)
    new = {table.name for table in ALL_TABLES if _declare(connection, table, present.get(table.name, {}))}
    for table, tally in TALLY_OF.items():
        if tally in new:  # a warehouse of before has rows that were not counted
            count_rows(connection, table, table)
    for name, sql in sql_files("views").items():
        if applied.get(name) != _digest(sql):
            view = name.removesuffix(".sql")
            connection.execute(f"CREATE OR REPLACE VIEW {view} AS\n{sql}")
            _remember(connection, name, sql)


def sql_type(kind: pa.DataType) -> str:
    """Return DuckDB's name of an Arrow type that the tables use."""
    return _SQL_TYPES[kind]


def _columns(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, bool]]:
    """Return the columns of each table and whether they take NULL; each such question reads the whole catalog."""
    sql = "SELECT table_name, column_name, is_nullable FROM duckdb_columns() WHERE database_name = current_database()"
    found: dict[str, dict[str, bool]] = {}
    for table, column, is_nullable in connection.execute(sql).fetchall():
        found.setdefault(table, {})[column] = is_nullable
    return found


def _declare(connection: duckdb.DuckDBPyConnection, table: Table, present: dict[str, bool]) -> bool:
    """Make a table, or the columns that it lacks; return whether it is new."""
    if not present:
        columns = ", ".join(
            f"{name} {sql_type(kind)}{'' if name in table.nullable else ' NOT NULL'}" for name, kind, _ in table.columns
        )
        connection.execute(f"CREATE TABLE {table.name} ({columns})")
        connection.execute(f"COMMENT ON TABLE {table.name} IS '{quoted(table.grain)}'")
    for name, kind, meaning in table.columns:
        if name in table.nullable and not present.get(name, True):
            connection.execute(f"ALTER TABLE {table.name} ALTER COLUMN {name} DROP NOT NULL")
        if present and name not in present:
            connection.execute(f"ALTER TABLE {table.name} ADD COLUMN {name} {sql_type(kind)}")
        if name not in present:
            connection.execute(f"COMMENT ON COLUMN {table.name}.{name} IS '{quoted(meaning)}'")
    return not present


def _exists(connection: duckdb.DuckDBPyConnection, table: str) -> bool:
    sql = "SELECT count(*) FROM duckdb_tables() WHERE database_name = current_database() AND table_name = ?"
    row = connection.execute(sql, [table]).fetchone()
    return row is not None and row[0] > 0


def _remember(connection: duckdb.DuckDBPyConnection, name: str, sql: str) -> None:
    connection.execute(f"DELETE FROM {_APPLIED} WHERE name = ?", [name])
    connection.execute(f"INSERT INTO {_APPLIED} VALUES (?, ?)", [name, _digest(sql)])


def sql_files(folder: str) -> dict[str, str]:
    """Return the SQL of `migrations` or `views` by file name, in order."""
    found = sorted((Path(__file__).parent / folder).glob("*.sql"))
    return {file.name: file.read_text(encoding="utf-8") for file in found}


def _digest(sql: str) -> str:
    return hashlib.sha256(sql.encode()).hexdigest()[:16]
