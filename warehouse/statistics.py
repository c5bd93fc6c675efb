"""The least and greatest value of every column, as the catalog keeps them for whole tables.

They may name rows that are gone, and they must never be narrower than what is there: DuckDB answers from them, so a
value outside is "not found" without a look at the files. Set to NULL they become the next insert's own.
"""

from collections.abc import Collection
from typing import Final

from moodreel.warehouse.catalog import Catalog

# of the values of all files the first in the order of the column's type, which are kept as text
_BOUND: Final = """(
    SELECT file.{bound}
    FROM ducklake_file_column_stats AS file JOIN ducklake_column AS col USING (table_id, column_id)
    WHERE file.table_id = stats.table_id AND file.column_id = stats.column_id AND file.{bound} IS NOT NULL
    ORDER BY CASE WHEN col.column_type LIKE 'int%' OR col.column_type LIKE 'float%'
                  THEN CAST(file.{bound} AS NUMERIC) END {order},
             file.{bound} {bytewise} {order}
    LIMIT 1
)"""
# only where all rows lie in files: rows in the catalog itself have no statistics of their own
_OF_TABLES: Final = "stats.table_id IN (SELECT table_id FROM ducklake_table WHERE table_name IN ({names}))"


def tighten(catalog: Catalog, tables: Collection[str]) -> None:
    """Set the bounds of tables without inlined rows to those of their data files."""
    catalog.execute(
        f"UPDATE ducklake_table_column_stats AS stats SET min_value = {_least(catalog)},"
        f" max_value = {_greatest(catalog)} WHERE {_of(tables)}"
    )


def loose_bounds(catalog: Catalog, tables: Collection[str]) -> list[str]:
    """Return "table.column" where a bound is not that of the data files."""
    rows = catalog.query(
        "SELECT table_name || '.' || column_name FROM ducklake_table_column_stats AS stats"
        " JOIN ducklake_column USING (table_id, column_id) JOIN ducklake_table USING (table_id)"
        f" WHERE {_of(tables)} AND (min_value {catalog.differs} {_least(catalog)}"
        f" OR max_value {catalog.differs} {_greatest(catalog)})"
    )
    return [name for (name,) in rows]


def _least(catalog: Catalog) -> str:
    return _BOUND.format(bound="min_value", order="ASC", bytewise=catalog.bytewise)


def _greatest(catalog: Catalog) -> str:
    return _BOUND.format(bound="max_value", order="DESC", bytewise=catalog.bytewise)


def _of(tables: Collection[str]) -> str:
    return _OF_TABLES.format(names=", ".join(f"'{table}'" for table in tables))
