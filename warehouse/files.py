"""The data files as they lie in their folder or bucket, read past the catalog."""

import re
from pathlib import PurePosixPath

from moodreel.warehouse.connect import connect, quoted
from moodreel.warehouse.storage import Storage


class DataFiles:
    """A warehouse's data files, by a connection of their own, which remembers nothing of them."""

    def __init__(self, storage: Storage) -> None:
        """Open the connection.

        Raises:
            WarehouseError: they lie in a bucket and the environment has no keys to it.
        """
        self._data = _exactly(storage.data)
        self._connection = connect(storage)

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    def paths(self, pattern: str = "*.parquet") -> list[str]:
        """Return the files of such names in all folders below, sorted."""
        rows = self._connection.execute(f"SELECT file FROM glob('{self._data}**/{pattern}') ORDER BY file").fetchall()
        return [str(path) for (path,) in rows]

    def sizes(self) -> list[int]:
        """Return the bytes of each Parquet file."""
        if not self.paths():
            return []
        rows = self._connection.execute(f"SELECT size FROM read_blob('{self._data}**/*.parquet')").fetchall()
        return [int(size) for (size,) in rows]

    def columns(self, path: str) -> dict[str, str]:
        """Return the columns of a Parquet file with DuckDB's names of their types.

        Raises:
            duckdb.Error: it can't be read.
        """
        columns = self._connection.execute(f"DESCRIBE FROM {_rows(path)}").fetchall()
        return {str(name): str(kind) for name, kind, *_ in columns}

    def has_row(self, path: str, condition: str) -> bool:
        """Say whether any row of a Parquet file meets an SQL condition.

        Raises:
            duckdb.Error: it can't be read.
        """
        found = self._connection.execute(f"SELECT 1 FROM {_rows(path)} WHERE {condition} LIMIT 1").fetchone()
        return found is not None


def table_of(path: str) -> str:
    """Return the table that a data file belongs to: its folder's name."""
    return PurePosixPath(path).parent.name


def _rows(path: str) -> str:
    return f"read_parquet('{_exactly(path)}', hive_partitioning = false)"


def _exactly(path: str) -> str:
    """Return a path for SQL in which nothing stands for other names."""
    return quoted(re.sub(r"[*?\[]", r"[\g<0>]", path))
