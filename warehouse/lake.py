"""Open the lake: DuckLake with a SQLite catalog, one writer connection a process, any number of readers."""

import os
import random
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final, TypeVar

import duckdb
import duckdb_extensions
import pyarrow as pa

from moodreel.warehouse.migrate import migrate

NAME: Final = "lake"
_ATTEMPTS: Final = 40
_MAX_SPILL: Final = "8GB"
_STREAMED_ROWS: Final = 1024  # of crops about 8 MB
_Result = TypeVar("_Result")


class WarehouseError(ValueError):
    """The warehouse can't be used as asked; the message says what to do."""


class Lake:
    """The writer's connection. Its transactions are whole or absent, also after a kill."""

    def __init__(self, folder: Path) -> None:
        """Open or make the warehouse in a folder and bring its tables and views up to date.

        Raises:
            WarehouseError: the folder can't be written, or a newer version made the warehouse.
        """
        self.folder = folder.resolve()
        try:
            (self.folder / "data").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WarehouseError(f"{folder} can't be made: {error.strerror}; name another --warehouse") from error
        self._lock = threading.RLock()
        self._connection = _connect()
        try:
            # WAL: without it two writers starve each other; the data path is stored as given, so absolute
            self._connection.execute(
                f"ATTACH 'ducklake:sqlite:{_quoted(self.folder / 'catalog.sqlite')}' AS {NAME} "
                f"(DATA_PATH '{_quoted(self.folder / 'data')}/', META_JOURNAL_MODE 'WAL', META_BUSY_TIMEOUT 5000)"
            )
        except duckdb.Error as error:
            raise WarehouseError(f"{folder} is no warehouse that can be written: {_first_line(error)}") from error
        self._connection.execute(f"USE {NAME}")
        self.transact(migrate)

    def transact(self, work: Callable[[duckdb.DuckDBPyConnection], _Result]) -> _Result:
        """Run `work` in one transaction, whole again if another writer committed meanwhile."""
        for attempt in range(_ATTEMPTS):
            with self._lock:
                self._connection.execute("BEGIN")
                try:
                    result = work(self._connection)
                    self._connection.execute("COMMIT")
                    return result
                except duckdb.Error as error:
                    self._roll_back()
                    if not _is_conflict(error) or attempt == _ATTEMPTS - 1:
                        raise
                except BaseException:
                    self._roll_back()
                    raise
            time.sleep(random.uniform(0.01, 0.05) * min(attempt + 1, 10))
        raise AssertionError("unreachable")

    def query(self, sql: str, values: list[object] | None = None) -> list[tuple[object, ...]]:
        """Run a SELECT outside any transaction."""
        with self._lock:
            return self._connection.execute(sql, values or []).fetchall()

    def stream(self, sql: str, values: list[object]) -> Iterator[pa.Table]:
        """Run a SELECT on a connection of its own and yield the answer piece by piece, as of the first one."""
        with self._lock:
            cursor = self._connection.cursor()
        cursor.execute(f"USE {NAME}")
        try:
            for batch in cursor.execute(sql, values).to_arrow_reader(_STREAMED_ROWS):
                yield pa.Table.from_batches([batch])
        finally:
            cursor.close()

    def close(self) -> None:
        """Give the connection back; the warehouse stays."""
        with self._lock:
            self._connection.close()

    def _roll_back(self) -> None:
        with suppress(duckdb.Error):  # a failed COMMIT has rolled back already
            self._connection.execute("ROLLBACK")


def open_reader(folder: Path) -> duckdb.DuckDBPyConnection:
    """Open a read-only connection that sees the lake and nothing else of the machine.

    Raises:
        WarehouseError: there is no warehouse in the folder.
    """
    folder = folder.resolve()
    catalog = folder / "catalog.sqlite"
    if not catalog.is_file():
        raise WarehouseError(f"no warehouse in {folder}: run `moodreel run FOLDER` first or name another --warehouse")
    connection = _connect()
    try:
        _attach_for_reading(connection, catalog)
    except duckdb.Error as error:
        raise WarehouseError(f"{folder} is no warehouse: {_first_line(error)}") from error
    connection.execute(f"USE {NAME}")
    # what does not fit into memory: not in the working folder, and not until the disk is full
    spill = Path(tempfile.gettempdir()) / f"moodreel-spill-{os.getpid()}"
    connection.execute("SET temp_directory = $folder", {"folder": str(spill)})
    connection.execute(f"SET max_temp_directory_size = '{_MAX_SPILL}'")
    connection.execute("SET allowed_directories = $folders", {"folders": [f"{folder / 'data'}/"]})
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _attach_for_reading(connection: duckdb.DuckDBPyConnection, catalog: Path) -> None:
    """Attach the catalog, or a copy where SQLite can't make the files that its WAL mode wants beside it."""
    try:
        connection.execute(f"ATTACH 'ducklake:sqlite:{_quoted(catalog)}' AS {NAME} (READ_ONLY)")
    except duckdb.Error:
        wal = catalog.with_name(f"{catalog.name}-wal")
        if wal.exists() and wal.stat().st_size:  # commits that are not in the catalog's file yet
            raise
        folder = tempfile.TemporaryDirectory(prefix="moodreel-catalog-")
        weakref.finalize(connection, folder.cleanup)
        copy = Path(folder.name) / catalog.name
        # by another process: a second opening of the file in this one would lose DuckDB's locks
        copying = "import shutil, sys; shutil.copyfile(*sys.argv[1:])"
        subprocess.run([sys.executable, "-I", "-c", copying, catalog, copy], check=True)
        connection.execute(f"ATTACH 'ducklake:sqlite:{_quoted(copy)}' AS {NAME} (READ_ONLY)")


@cache
def _install_extensions() -> None:
    for extension in ("ducklake", "sqlite"):
        duckdb_extensions.import_extension(extension)


def _connect() -> duckdb.DuckDBPyConnection:
    _install_extensions()
    connection = duckdb.connect(config={"memory_limit": "1GB", "threads": 2, "autoinstall_known_extensions": False})
    connection.execute("LOAD ducklake; LOAD sqlite_scanner; SET TimeZone = 'UTC'")
    return connection


def _is_conflict(error: duckdb.Error) -> bool:
    text = str(error).lower()
    return "database is locked" in text or "conflict" in text


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
