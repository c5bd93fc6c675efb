"""The least and greatest value of every column, as the catalog keeps them for whole tables.

They may name rows that are gone, and they must never be narrower than what is there: DuckDB answers from them, so a
value outside is "not found" without a look at the files. Set to NULL they become the next insert's own.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Final

from moodreel.warehouse.catalog import read_catalog_file, run_in_sqlite

# of the values of all files the first in the order of the column's type, which are kept as text
_BOUND: Final = """(
    SELECT file.{bound}
    FROM ducklake_file_column_stats AS file JOIN ducklake_column AS col USING (table_id, column_id)
    WHERE file.table_id = stats.table_id AND file.column_id = stats.column_id AND file.{bound} IS NOT NULL
    ORDER BY CASE WHEN col.column_type LIKE 'int%' THEN CAST(file.{bound} AS INTEGER)
                  WHEN col.column_type LIKE 'float%' THEN CAST(file.{bound} AS REAL)
                  ELSE file.{bound} END {order}
    LIMIT 1
)"""
_LEAST: Final = _BOUND.format(bound="min_value", order="ASC")
_GREATEST: Final = _BOUND.format(bound="max_value", order="DESC")
# only where all rows lie in files: rows in the catalog itself have no statistics of their own
_OF_TABLES: Final = "stats.table_id IN (SELECT table_id FROM ducklake_table WHERE table_name IN ({names}))"


def tighten(folder: Path, tables: Collection[str]) -> None:
    """Set the bounds of tables without inlined rows to those of their data files."""
    run_in_sqlite(
        folder,
        f"UPDATE ducklake_table_column_stats AS stats SET min_value = {_LEAST}, max_value = {_GREATEST}"
        f" WHERE {_of(tables)}",
    )


def loose_bounds(folder: Path, tables: Collection[str]) -> list[str]:
    """Return "table.column" where a bound is not that of the data files."""
    [rows] = read_catalog_file(
        folder,
        "SELECT table_name || '.' || column_name FROM ducklake_table_column_stats AS stats"
        " JOIN ducklake_column USING (table_id, column_id) JOIN ducklake_table USING (table_id)"
        f" WHERE {_of(tables)} AND (min_value IS NOT {_LEAST} OR max_value IS NOT {_GREATEST})",
    )
    return [name for (name,) in rows]


def _of(tables: Collection[str]) -> str:
    return _OF_TABLES.format(names=", ".join(f"'{table}'" for table in tables))
