"""Answer one SELECT, read-only."""

from pathlib import Path

import duckdb
import pyarrow as pa

from moodreel.warehouse.lake import WarehouseError, open_reader

_ALLOWED = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}


def ask(warehouse: Path, query: str) -> pa.Table:
    """Return the rows of a SELECT over the warehouse's tables and views.

    Raises:
        WarehouseError: no warehouse is there, or the query is not one SELECT, or DuckDB refuses it.
    """
    connection = open_reader(warehouse)
    try:
        statements = connection.extract_statements(query)
        if len(statements) != 1 or statements[0].type not in _ALLOWED:
            raise WarehouseError("give exactly one SELECT: the warehouse is read-only here")
        return connection.execute(statements[0]).to_arrow_table()
    except duckdb.Error as error:
        raise WarehouseError(str(error).strip()) from error
    finally:
        connection.close()
