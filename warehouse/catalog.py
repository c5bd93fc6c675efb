"""What holds DuckLake's catalog: a SQLite file in the warehouse's folder, or a PostgreSQL database."""

from collections.abc import Iterable
from typing import Any, Protocol

import duckdb

from moodreel.warehouse.postgres_catalog import PostgresCatalog
from moodreel.warehouse.sqlite_catalog import SqliteCatalog
from moodreel.warehouse.storage import Storage


class Catalog(Protocol):
    """The database under DuckLake: how DuckDB attaches it, and the work on it that DuckLake does not do.

    Attributes:
        name: what messages call it.
        bytewise: the SQL word after a text for the order of its bytes.
        differs: the SQL operator that also tells NULL from a value.
    """

    name: str
    bytewise: str
    differs: str

    def attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Attach the lake for writing, made if need be."""

    def exists(self) -> bool:
        """Say whether a lake may be there; where only trying tells, say yes."""

    def attach_for_reading(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Attach the lake read-only."""

    def is_conflict(self, error: duckdb.Error) -> bool:
        """Say whether another writer's commit made a transaction fail, so that doing it again helps."""

    def is_lost(self, error: duckdb.Error) -> bool:
        """Say whether the connection to the database broke, so that nobody knows what became of a COMMIT."""

    def execute(self, sql: str) -> None:
        """Run a statement that changes the catalog's own tables."""

    def query(self, sql: str) -> list[list[Any]]:
        """Return the rows of a SELECT over the catalog's own tables, as they are stored."""

    def num_bytes(self) -> int:
        """Return what it takes on the disk."""

    def shrink(self) -> None:
        """Give back what it has no use for; others may work meanwhile."""

    def write_anew(self) -> bool:
        """Write its tables anew without what was deleted; return whether no other session was in the way."""

    def settle(self) -> bool:
        """Write what is still under way to its place; return whether no other session was in the way."""

    def search(self, needles: Iterable[bytes], spared: Iterable[bytes] = ()) -> list[str]:
        """Return the places where any of these bytes are, not counting those in longer, spared bytes."""

    def leftovers(self) -> list[str]:
        """Return the places that may still hold what was deleted."""


def open_catalog(storage: Storage) -> Catalog:
    """Return the catalog that a warehouse's storage names; nothing is made or opened yet.

    Raises:
        WarehouseError: the folder has tables of before its storage.toml.
    """
    return SqliteCatalog(storage) if storage.postgres is None else PostgresCatalog(storage)
