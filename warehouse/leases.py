"""Leases: who works on what, for how long; kept in the catalog's own database, since the lake has no primary keys.

A holder that died holds its leases until they expire, or until somebody on the same machine asks; one that lives renews
them. Two inserts into a table of the lake are no conflict, so nothing there could keep two runs from the same video.
"""

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final

import duckdb

from moodreel.warehouse.connect import CATALOG
from moodreel.warehouse.lake import Lake, WarehouseError
from moodreel.warehouse.processes import has_died, this_process

LENGTH_S: Final = 120.0  # how long a dead holder on another machine keeps others waiting
# Of upkeep: it may hold the one connection for long, in a transaction that a renewal beside it would make fail. A run
# waits for its end, and no longer.
UPKEEP_LENGTH_S: Final = 3600.0
_LOOK_S: Final = 0.5  # between two looks at a lease that is waited for
RUN, VIDEO, UPKEEP = "run:", "video:", "upkeep"  # what names begin with
_TURN: Final = "turn"  # goes from hand to hand, whoever holds it
_TABLE: Final = f"{CATALOG}.moodreel_leases"
log = logging.getLogger("moodreel")


class Leases:
    """The leases of one holder, renewed in the background while the context is open.

    Every method is whole or has no effect, also against other processes. Clocks of several machines must agree within
    a fraction of the length.

    Attributes:
        abandoned: names that this holder took over from one that was over, which therefore died at work on them.
    """

    def __init__(self, lake: Lake, holder: str, length_s: float = LENGTH_S) -> None:
        """Make the table if need be."""
        self._lake, self._holder, self._length_s = lake, f"{holder}@{this_process()}", length_s
        self._names: set[str] = set()
        self.abandoned: set[str] = set()
        self._ended = threading.Event()
        self._renewal = threading.Thread(target=self._keep_renewing, name="leases", daemon=True)

        lake.transact(_make_table)

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
            for held, holder, expires_at in connection.execute(f"FROM {_TABLE}").fetchall():
                is_in_the_way = held == name or (blocked_by is not None and held.startswith(blocked_by))
                if holder == self._holder or held == _TURN or not is_in_the_way:
                    continue
                if not _is_over(holder, expires_at):
                    return False
                # any other that is over stays, so that whoever comes to take it learns that its holder died
                self.abandoned.add(held)
                connection.execute(f"DELETE FROM {_TABLE} WHERE name = ?", [held])
            # of two that take different names which exclude each other, PostgreSQL sees a conflict only in a common row
            for taken in [name] if blocked_by is None else [name, _TURN]:
                connection.execute(f"DELETE FROM {_TABLE} WHERE name = ?", [taken])
                self._insert(connection, taken)
            return True

        if not self._lake.transact(work):
            return False
        self._names.add(name)
        return True

    def take_run(self, run_id: str, wait_s: float = UPKEEP_LENGTH_S) -> None:
        """Take the lease of a run, after upkeep if there is any.

        Raises:
            WarehouseError: it does not end.
        """
        if self.take(RUN + run_id, blocked_by=UPKEEP):
            return
        log.warning("%s is under upkeep: the run begins when that is over", self._lake.folder)
        until = time.monotonic() + wait_s
        while not self.take(RUN + run_id, blocked_by=UPKEEP):
            if time.monotonic() > until:
                raise WarehouseError(f"{self._lake.folder} is under upkeep: start the run when it is over")
            time.sleep(_LOOK_S)

    def release(self, name: str) -> None:
        """Give a lease back; where that fails, it expires."""
        self._names.discard(name)
        sql = f"DELETE FROM {_TABLE} WHERE name = ? AND holder = ?"
        with suppress(duckdb.Error, WarehouseError):  # what was done under the lease is done
            self._lake.transact(lambda connection: connection.execute(sql, [name, self._holder]))

    def held(self, beginning: str) -> list[str]:
        """Return the names that begin so and are held by anybody."""
        rows = self._lake.query(f"SELECT name, holder, expires_at FROM {_TABLE} ORDER BY name")
        living = [str(name) for name, holder, expires_at in rows if not _is_over(str(holder), float(str(expires_at)))]
        return [name for name in living if name.startswith(beginning)]

    def wait_for_any(self, names: Sequence[str]) -> list[str]:
        """Wait until one of these that others hold is free; return all that are."""
        while True:
            held = set(self.held(""))
            if free := [name for name in names if name not in held]:
                return free
            time.sleep(_LOOK_S)

    def _insert(self, connection: duckdb.DuckDBPyConnection, name: str) -> None:
        connection.execute(f"INSERT INTO {_TABLE} VALUES (?, ?, ?)", [name, self._holder, self._end_of(name)])

    def _end_of(self, name: str) -> float:
        return time.time() + (UPKEEP_LENGTH_S if name == UPKEEP else self._length_s)

    def _keep_renewing(self) -> None:
        while not self._ended.wait(self._length_s / 4):
            with suppress(duckdb.Error, WarehouseError):  # a catalog locked or lost for long: the next turn tries again
                self._lake.transact(self._renew)

    def _renew(self, connection: duckdb.DuckDBPyConnection) -> None:
        holders = dict(connection.execute(f"SELECT name, holder FROM {_TABLE}").fetchall())
        # a machine that slept may find its leases taken and given back: what nobody holds now is taken again, but
        # nothing beside another's upkeep, which may be an erasure
        is_upkeep_on = holders.get(UPKEEP, self._holder) != self._holder
        for name in sorted(self._names):
            if name not in holders and is_upkeep_on:
                continue
            if holders.get(name, self._holder) == self._holder:
                connection.execute(f"DELETE FROM {_TABLE} WHERE name = ?", [name])
                self._insert(connection, name)


def drop_lease(lake: Lake, name: str) -> None:
    """Remove a lease whose holder died, since its name tells of a video that is erased."""

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        _make_table(connection)
        connection.execute(f"DELETE FROM {_TABLE} WHERE name = ?", [name])

    lake.transact(work)


def _make_table(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {_TABLE}"
        " (name VARCHAR PRIMARY KEY, holder VARCHAR NOT NULL, expires_at DOUBLE NOT NULL)"
    )


def _is_over(holder: str, expires_at: float) -> bool:
    return expires_at < time.time() or has_died(holder.rpartition("@")[2])
