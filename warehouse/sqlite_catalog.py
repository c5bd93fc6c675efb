"""The catalog as a SQLite file in the warehouse's folder: for one machine, with nothing to set up."""

import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import duckdb

from moodreel.warehouse.connect import NAME, quoted
from moodreel.warehouse.sqlite_file import read_file, run_in_sqlite, search_file
from moodreel.warehouse.storage import Storage

FILE: Final = "catalog.sqlite"


class SqliteCatalog:
    """See `Catalog`."""

    name = FILE
    bytewise = "COLLATE BINARY"
    differs = "IS NOT"

    def __init__(self, storage: Storage) -> None:
        self._file = storage.folder / FILE

    def attach(self, connection: duckdb.DuckDBPyConnection, data: str) -> None:
        """Attach for writing; without WAL two writers would starve each other."""
        connection.execute(
            f"ATTACH 'ducklake:sqlite:{quoted(self._file)}' AS {NAME}"
            f" (DATA_PATH '{quoted(data)}', META_JOURNAL_MODE 'WAL', META_BUSY_TIMEOUT 5000)"
        )

    def exists(self) -> bool:
        """Say whether the file is there: a reader would make an empty one."""
        return self._file.is_file()

    def attach_for_reading(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Attach the file, or a copy where SQLite can't make the files that its WAL mode wants beside it."""
        try:
            connection.execute(f"ATTACH 'ducklake:sqlite:{quoted(self._file)}' AS {NAME} (READ_ONLY)")
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
            connection.execute(f"ATTACH 'ducklake:sqlite:{quoted(copy)}' AS {NAME} (READ_ONLY)")

    def is_conflict(self, error: duckdb.Error) -> bool:
        """Say whether another writer was quicker."""
        text = str(error).lower()
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
