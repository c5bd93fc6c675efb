"""The catalog as a SQLite file in the warehouse's folder: for one machine, with nothing to set up."""

import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import duckdb

from moodreel.warehouse.connect import CATALOG, NAME, outside_quotes, quoted
from moodreel.warehouse.sqlite_file import read_file, run_in_sqlite, search_file
from moodreel.warehouse.storage import Storage

FILE: Final = "catalog.sqlite"


class SqliteCatalog:
    """See `Catalog`."""

    name = FILE
    bytewise = "COLLATE BINARY"
    differs = "IS NOT"

    def __init__(self, storage: Storage) -> None:
        self._file, self._data = storage.folder / FILE, storage.data
        self._has_own_data = storage.data == f"{storage.folder / 'data'}/"

    def attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Attach for writing; without WAL two writers would starve each other."""
        attach = (
            f"ATTACH 'ducklake:sqlite:{quoted(self._file)}' AS {NAME} (META_JOURNAL_MODE 'WAL', META_BUSY_TIMEOUT 5000"
        )
        try:
            connection.execute(f"{attach}, DATA_PATH '{quoted(self._data)}')")
        except duckdb.Error as error:
            if "does not match existing data path" not in str(error):
                raise
            connection.execute(f"ATTACH 'ducklake:sqlite:{quoted(self._file)}' AS {NAME} (READ_ONLY)")
            has_moved = self._has_moved(connection)
            connection.execute(f"DETACH {NAME}")
            if not has_moved:
                raise
            connection.execute(f"{attach}, {self._here()})")

    def exists(self) -> bool:
        """Say whether the file is there: a reader would make an empty one."""
        return self._file.is_file()

    def attach_for_reading(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Attach the file, or a copy where SQLite can't make the files that its WAL mode wants beside it."""
        try:
            self._attach_read_only(connection, self._file)
        except duckdb.Error:
            wal = self._file.with_name(f"{FILE}-wal")
            if wal.exists() and wal.stat().st_size:  # commits that are not in the catalog's file yet
                raise
            folder = tempfile.TemporaryDirectory(prefix="moodreel-catalog-")
            weakref.finalize(connection, folder.cleanup)
            copy = Path(folder.name) / FILE
            # by another process: a second opening of the file in this one would lose DuckDB's locks
            copying = "import shutil, sys; shutil.copyfile(*sys.argv[1:])"
            subprocess.run([sys.executable, "-I", "-c", copying, self._file, copy], check=True)
            self._attach_read_only(connection, copy)

    def _attach_read_only(self, connection: duckdb.DuckDBPyConnection, file: Path) -> None:
        attach = f"ATTACH 'ducklake:sqlite:{quoted(file)}' AS {NAME} (READ_ONLY"
        connection.execute(f"{attach})")
        if self._has_moved(connection):
            connection.execute(f"DETACH {NAME}")
            connection.execute(f"{attach}, {self._here()})")

    def _here(self) -> str:
        return f"DATA_PATH '{quoted(self._data)}', OVERRIDE_DATA_PATH true"

    def _has_moved(self, connection: duckdb.DuckDBPyConnection) -> bool:
        """Say whether the attached lake was moved or copied here from another folder, its data with it."""
        key = f"SELECT value FROM {CATALOG}.ducklake_metadata WHERE key = 'data_path'"
        [(place,)] = connection.execute(key).fetchall()
        if place == self._data or not self._has_own_data or "://" in place:
            return False
        return _has_files(self._data) or not _has_files(place)  # else its storage.toml is what got lost

    def is_conflict(self, error: duckdb.Error) -> bool:
        """Say whether another writer was quicker."""
        text = outside_quotes(error)
        return "database is locked" in text or "conflict" in text

    def is_lost(self, error: duckdb.Error) -> bool:
        """A file has no connection to lose."""
        return False

    def execute(self, sql: str) -> None:
        """Run a statement in SQLite."""
        run_in_sqlite(self._file, sql)

    def query(self, sql: str) -> list[list[Any]]:
        """Read the file without what its WAL adds."""
        [rows] = read_file(self._file, sql)
        return rows

    def num_bytes(self) -> int:
        """Return the size of the file, its WAL and SHM."""
        return sum(path.stat().st_size for path in self._file.parent.glob(f"{FILE}*"))

    def shrink(self) -> None:
        """Write the file anew and empty its WAL if no query is on."""
        run_in_sqlite(self._file, "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)")

    def write_anew(self) -> bool:
        """Write the file anew without its free pages, into the WAL at first."""
        run_in_sqlite(self._file, "VACUUM")
        return True

    def settle(self) -> bool:
        """Bring the file itself up to date and empty its WAL."""
        [[[is_busy, *_]]] = run_in_sqlite(self._file, "PRAGMA wal_checkpoint(TRUNCATE)")
        return not is_busy

    def search(self, needles: Iterable[bytes], spared: Iterable[bytes] = ()) -> list[str]:
        """Search the bytes of the file, its WAL and SHM."""
        return search_file(self._file, needles, spared)

    def leftovers(self) -> list[str]:
        """Name free pages: they keep what was deleted."""
        [[num_free]] = self.query("PRAGMA freelist_count")
        return [f"{FILE}: {num_free} free pages"] if num_free else []


def _has_files(data: str) -> bool:
    return next(Path(data).rglob("*.parquet"), None) is not None
