"""Open the lake, DuckLake on a storage: one writer connection a process, any number of readers."""

import os
import random
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

import duckdb
import pyarrow as pa

from moodreel.warehouse.catalog import open_catalog
from moodreel.warehouse.connect import NAME, NUM_THREADS, connect, first_line, quoted
from moodreel.warehouse.migrate import migrate
from moodreel.warehouse.storage import CatalogLostError, Storage, WarehouseError, read_storage

__all__ = ["CatalogLostError", "Lake", "WarehouseError", "open_reader"]

_ATTEMPTS: Final = 40
PATIENCE_S: Final = 120.0  # with a database server that restarts
_MAX_SPILL: Final = "8GB"
_STREAMED_ROWS: Final = 1024  # of crops about 8 MB
_Result = TypeVar("_Result")


class Lake:
    """The writer's connection. Its transactions are whole or absent, also after a kill."""

    def __init__(self, folder: Path) -> None:
        """Open or make the warehouse in a folder and bring its tables and views up to date.

        Raises:
            WarehouseError: the folder or the storage that it names can't be used, or a newer version made the
                warehouse.
        """
        self.folder = folder.resolve()
        self.storage = read_storage(self.folder)
        self.catalog = open_catalog(self.storage)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if self.storage.s3 is None:
                Path(self.storage.data).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WarehouseError(
                f"{error.filename} can't be made: {error.strerror}; name another --warehouse"
            ) from error
        self._lock = threading.RLock()
        self._is_lost = False  # the catalog, when last asked: nobody waits for it a second time
        self._connection = self._attached()
        try:
            self._connection.execute(f"USE {NAME}")
            self.transact(migrate)
        except BaseException:
            self._connection.close()
            raise

    def transact(self, work: Callable[[duckdb.DuckDBPyConnection], _Result]) -> _Result:
        """Run `work` in one transaction, whole again if another writer committed or the catalog was lost meanwhile.

        Raises:
            CatalogLostError: its database is lost for longer than a restart takes, or other writers keep it.
        """
        for attempt in range(_ATTEMPTS):
            mark, has_worked = uuid.uuid4().hex, False
            with self._lock:
                self._connection.execute("BEGIN")
                try:
                    result = work(self._connection)
                    if self.storage.postgres is not None:  # tells whether a COMMIT took effect if no answer comes
                        self._connection.execute(f"CALL {NAME}.set_commit_message('moodreel', '{mark}')")
                    has_worked = True
                    self._connection.execute("COMMIT")
                    self._is_lost = False
                    return result
                except duckdb.Error as error:
                    self._roll_back()
                    if self.catalog.is_lost(error):
                        self._wait_for_catalog()
                        if has_worked and self._has_committed(mark):
                            return result
                    elif not self.catalog.is_conflict(error):
                        raise
                    elif self._is_lost or attempt == _ATTEMPTS - 1:
                        self._is_lost = True
                        told = f"{self.catalog.name} of {self.folder} stays locked: end what writes there and try again"
                        raise CatalogLostError(told) from error
                except BaseException:
                    self._roll_back()
                    raise
            time.sleep(random.uniform(0.01, 0.05) * min(attempt + 1, 10))
        raise AssertionError("unreachable")

    def call(self, function: str) -> None:
        """Call one of DuckLake's own functions, in a transaction."""
        self.transact(lambda connection: connection.execute(f"CALL {function}").fetchall())

    @contextmanager
    def on_one_thread(self) -> Iterator[None]:
        """Let DuckDB work with a single thread, for what it does not do safely with several."""
        with self._lock:
            self._connection.execute("SET threads = 1")
            try:
                yield
            finally:
                self._connection.execute(f"SET threads = {NUM_THREADS}")

    def query(self, sql: str, values: list[object] | None = None) -> list[tuple[object, ...]]:
        """Run a SELECT outside any transaction.

        Raises:
            CatalogLostError: its database is lost for longer than a restart takes.
        """
        with self._lock:
            try:
                return self._connection.execute(sql, values or []).fetchall()
            except duckdb.Error as error:
                if not self.catalog.is_lost(error):
                    raise
                self._wait_for_catalog()
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

    def _attached(self) -> duckdb.DuckDBPyConnection:
        """Return a connection with the lake attached; of several processes that make it one goes first."""
        for attempt in range(_ATTEMPTS):
            connection = connect(self.storage)
            try:
                self.catalog.attach(connection)
                return connection
            except duckdb.Error as error:
                connection.close()
                if not self.catalog.is_conflict(error) or attempt == _ATTEMPTS - 1:
                    told = f"{self.folder} is no warehouse that can be written: {first_line(error)}"
                    raise WarehouseError(told) from error
            time.sleep(random.uniform(0.05, 0.2))
        raise AssertionError("unreachable")

    def _roll_back(self) -> None:
        with suppress(duckdb.Error):  # a failed COMMIT has rolled back already
            self._connection.execute("ROLLBACK")

    def _wait_for_catalog(self) -> None:
        """Wait until the catalog answers; DuckDB's extension connects anew by itself."""
        until = time.monotonic() + (0 if self._is_lost else PATIENCE_S)
        while True:
            try:
                self._connection.execute(f"FROM ducklake_current_snapshot('{NAME}')").fetchall()
                self._is_lost = False
                return
            except duckdb.Error as error:
                if not self.catalog.is_lost(error):
                    raise
                if time.monotonic() > until:
                    self._is_lost = True
                    told = f"{self.catalog.name} of {self.folder} does not answer: {first_line(error)}"
                    raise CatalogLostError(told) from error
            time.sleep(1)

    def _has_committed(self, mark: str) -> bool:
        sql = f"SELECT 1 FROM ducklake_snapshots('{NAME}') WHERE commit_message = ?"
        return self._connection.execute(sql, [mark]).fetchone() is not None


def open_reader(folder: Path) -> duckdb.DuckDBPyConnection:
    """Open a read-only connection that sees the lake and nothing else of the machine.

    Raises:
        WarehouseError: there is no warehouse in the folder, or the storage that it names can't be used.
    """
    folder = folder.resolve()
    storage = read_storage(folder)
    catalog = open_catalog(storage)
    if not catalog.exists():
        raise WarehouseError(f"no warehouse in {folder}: run `moodreel run FOLDER` first or name another --warehouse")
    connection = connect(storage)
    try:
        catalog.attach_for_reading(connection)
    except duckdb.Error as error:
        raise WarehouseError(f"{folder} is no warehouse: {first_line(error)}") from error
    connection.execute(f"USE {NAME}")
    _lock_in(connection, storage)
    return connection


def _lock_in(connection: duckdb.DuckDBPyConnection, storage: Storage) -> None:
    # what does not fit into memory: not in the working folder, and not until the disk is full
    spill = Path(tempfile.gettempdir()) / f"moodreel-spill-{os.getpid()}"
    connection.execute(f"SET temp_directory = '{quoted(spill)}'")
    connection.execute(f"SET max_temp_directory_size = '{_MAX_SPILL}'")
    connection.execute(f"SET allowed_directories = ['{quoted(storage.data)}']")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
