"""Leases: who works on what, for how long; kept in the catalog's own database, since the lake has no primary keys.

A holder that died holds its leases until they expire; one that lives renews them. Two inserts into a table of the lake
are no conflict, so nothing there could keep two runs from the same video.
"""

import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Final

import duckdb

from moodreel.warehouse.lake import Lake

LENGTH_S: Final = 120.0  # how long a dead holder keeps others waiting
RUN, VIDEO, UPKEEP = "run:", "video:", "upkeep"  # what names begin with
_TABLE: Final = "__ducklake_metadata_lake.moodreel_leases"  # DuckLake attaches its catalog under that name


class Leases:
    """The leases of one holder, renewed in the background while the context is open.

    Every method is whole or has no effect, also against other processes. Clocks of several machines must agree within
    a fraction of the length.
    """

    def __init__(self, lake: Lake, holder: str, length_s: float = LENGTH_S) -> None:
        """Make the table if need be."""
        self._lake, self._holder, self._length_s = lake, holder, length_s
        self._ended = threading.Event()
        self._renewal = threading.Thread(target=self._keep_renewing, name="leases", daemon=True)

        def work(connection: duckdb.DuckDBPyConnection) -> None:
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS {_TABLE}"
                " (name VARCHAR PRIMARY KEY, holder VARCHAR NOT NULL, expires_at DOUBLE NOT NULL)"
            )

        lake.transact(work)

    def __enter__(self) -> "Leases":
        self._renewal.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._renewal.join()
        self._lake.transact(
            lambda connection: connection.execute(f"DELETE FROM {_TABLE} WHERE holder = ?", [self._holder])
        )

    def take(self, name: str, blocked_by: str | None = None) -> bool:
        """Take a lease, or say that another holder has it.

        Args:
            name: what is to be worked on.
            blocked_by: a beginning of names; any such lease of another holder refuses this one too.
        """

        def work(connection: duckdb.DuckDBPyConnection) -> bool:
            now = time.time()
            connection.execute(
                f"DELETE FROM {_TABLE} WHERE expires_at < ? OR (name = ? AND holder = ?)", [now, name, self._holder]
            )
            found = connection.execute(f"SELECT name FROM {_TABLE} WHERE holder <> ?", [self._holder]).fetchall()
            if any(held == name or (blocked_by and held.startswith(blocked_by)) for (held,) in found):
                return False
            connection.execute(f"INSERT INTO {_TABLE} VALUES (?, ?, ?)", [name, self._holder, now + self._length_s])
            return True

        return self._lake.transact(work)

    def release(self, name: str) -> None:
        """Give a lease back."""
        self._lake.transact(
            lambda connection: connection.execute(
                f"DELETE FROM {_TABLE} WHERE name = ? AND holder = ?", [name, self._holder]
            )
        )

    def held(self, beginning: str) -> list[str]:
        """Return the names that begin so and are held by anybody."""
        rows = self._lake.query(f"SELECT name FROM {_TABLE} WHERE expires_at >= ? ORDER BY name", [time.time()])
        return [str(name) for (name,) in rows if str(name).startswith(beginning)]

    def _keep_renewing(self) -> None:
        while not self._ended.wait(self._length_s / 4):
            with suppress(duckdb.Error):  # a catalog locked for long: the next turn tries again
                self._renew()

    def _renew(self) -> None:
        self._lake.transact(
            lambda connection: connection.execute(
                f"UPDATE {_TABLE} SET expires_at = ? WHERE holder = ?", [time.time() + self._length_s, self._holder]
            )
        )
