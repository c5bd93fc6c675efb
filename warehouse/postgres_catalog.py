"""The catalog as tables of a PostgreSQL database: for several drivers on several machines."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any, Final

import duckdb

from moodreel.warehouse.connect import NAME, connect, outside_quotes, quoted
from moodreel.warehouse.sqlite_catalog import SqliteCatalog
from moodreel.warehouse.storage import FILE, Storage, WarehouseError

_LOCK_WAIT: Final = "10s"  # for queries of other programs that read the catalog
# conflicts of DuckLake's commits and of the leases' rows, as DuckDB's extension words them
_CONFLICTS: Final = (
    "already exists",  # a table of the catalog: another driver makes it at the same moment
    "conflict",
    "could not serialize access",
    "deadlock detected",
    "duplicate key value",
    "maximum retry count",
)
_LOSSES: Final = (
    "unable to connect to postgres",
    "server closed the connection",
    "terminating connection",
    "no connection to the server",
    "could not receive data from server",
    "could not send data to server",
    'failed to execute query "rollback": ',  # what is left of the message when the server went away before a COMMIT
)
_LOOKS: Final = 3
_LEASES: Final = "public.moodreel_leases"
_OURS: Final = (
    "relnamespace = 'public'::regnamespace AND relkind = 'r'"
    " AND (relname LIKE 'ducklake\\_%' OR relname = 'moodreel_leases')"
)


class PostgresCatalog:
    """See `Catalog`. Its tables lie in the schema public, beside whatever else the database holds."""

    name = "the PostgreSQL catalog"
    bytewise = 'COLLATE "C"'
    differs = "IS DISTINCT FROM"

    def __init__(self, storage: Storage) -> None:
        assert storage.postgres is not None
        if SqliteCatalog(storage).exists():
            raise WarehouseError(
                f"{storage.folder} has its tables in {SqliteCatalog.name}, but its {FILE} names PostgreSQL:"
                " remove that line, or name another --warehouse"
            )
        self._storage, self._words = storage, storage.postgres

    def attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Attach for writing, so that a transaction fails if any other one committed since it began.

        DuckLake by itself would let two commit that both only add rows; then a test inside a transaction that some row
        is not there yet would mean nothing.
        """
        data = quoted(self._storage.data)
        connection.execute(f"ATTACH 'ducklake:postgres:{quoted(self._words)}' AS {NAME} (DATA_PATH '{data}')")
        connection.execute("SET ducklake_max_retry_count = 0")

    def exists(self) -> bool:
        """Only attaching tells."""
        return True

    def attach_for_reading(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Attach in PostgreSQL's own read-only transactions."""
        connection.execute(f"ATTACH 'ducklake:postgres:{quoted(self._words)}' AS {NAME} (READ_ONLY)")

    def is_conflict(self, error: duckdb.Error) -> bool:
        """Say whether another writer was quicker."""
        return any(words in outside_quotes(error) for words in _CONFLICTS)

    def is_lost(self, error: duckdb.Error) -> bool:
        """Say whether the server went away."""
        return any(words in str(error).lower() for words in _LOSSES)

    def execute(self, sql: str) -> None:
        """Run a statement outside any transaction."""
        with closing(self._open()) as connection:
            _execute(connection, sql)

    def query(self, sql: str) -> list[list[Any]]:
        """Return the rows that PostgreSQL answers."""
        with closing(self._open()) as connection:
            return _query(connection, sql)

    def num_bytes(self) -> int:
        """Return the size of the tables with their indexes."""
        [[size]] = self.query(f"SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class WHERE {_OURS}")
        return int(size or 0)

    def shrink(self) -> None:
        """Let later rows have the room of deleted ones, as autovacuum does."""
        with closing(self._open()) as connection:
            for table in _tables(connection):
                _execute(connection, f"VACUUM (ANALYZE) {table}")

    def write_anew(self) -> bool:
        """Write the tables anew, and the server's statistics, which hold samples of their values.

        A session that reads them would keep the server from it, or have it copy deleted rows too.
        """
        with closing(self._open()) as connection:
            try:
                for table in _tables(connection):
                    _forget_samples(connection, table)
                    _execute(connection, f"VACUUM (FULL, ANALYZE) {table}")
                _execute(connection, "VACUUM (FULL) pg_catalog.pg_statistic")
            except duckdb.Error as error:
                if "lock timeout" not in str(error):
                    raise
                return False
        return True

    def settle(self) -> bool:
        """The server's log and its buffers are the server's business."""
        return True

    def search(self, needles: Iterable[bytes], spared: Iterable[bytes] = ()) -> list[str]:
        """Search every column of every table, and the server's samples of them, as text and as hexadecimal digits."""
        needles, spared = list(needles), list(spared)
        with closing(self._open()) as connection:
            sampled = "(SELECT * FROM pg_catalog.pg_stats WHERE tablename LIKE 'ducklake\\_%') AS samples"
            places = {table: (table, f"'{table}'::regclass") for table in _tables(connection)}
            places["the server's statistics"] = (sampled, "'pg_catalog.pg_stats'::regclass")
            return [
                f"{self.name}: {place}"
                for place, (rows, relation) in places.items()
                if _holds(connection, rows, relation, needles, spared)
            ]

    def leftovers(self) -> list[str]:
        """Name deleted rows that the server keeps for another session, and samples that it does not let us remove."""
        with closing(self._open()) as connection:
            owner = "SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database()"
            if _query(connection, owner) != [[True]]:
                return [f"{self.name}: the server's statistics; erase as the role that owns the database"]
            tables = [name for name in _tables(connection) if name != _LEASES]  # which are renewed at any time
            dead = [name for name in tables if _has_dead_rows(connection, name)]
        return [f"{self.name}: deleted rows of {name} that another session keeps" for name in dead]

    def _open(self) -> duckdb.DuckDBPyConnection:
        """Attach the database itself: through the lake every statement would lie in a transaction."""
        connection = connect(self._storage)
        options = f"options='-c search_path=public -c lock_timeout={_LOCK_WAIT}'"
        connection.execute(f"ATTACH '{quoted(f'{self._words} {options}')}' AS catalog (TYPE postgres)")
        return connection


def _execute(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    connection.execute(f"CALL postgres_execute('catalog', '{quoted(sql)}', use_transaction => false)")


def _query(connection: duckdb.DuckDBPyConnection, sql: str) -> list[list[Any]]:
    return [list(row) for row in connection.execute("FROM postgres_query('catalog', ?)", [sql]).fetchall()]


def _forget_samples(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    """Drop what the server remembers of an emptied table's values: it samples anew only where there are rows."""
    if _query(connection, f"SELECT 1 FROM {table} LIMIT 1"):
        return
    columns = _query(
        connection,
        "SELECT quote_ident(attname), format_type(atttypid, atttypmod) FROM pg_attribute"
        f" WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped",
    )
    same_types = ", ".join(f"ALTER COLUMN {name} TYPE {kind}" for name, kind in columns)
    _execute(connection, f"ALTER TABLE {table} {same_types}")


def _has_dead_rows(connection: duckdb.DuckDBPyConnection, table: str) -> bool:
    """Have the server count; what a session reports late of rows that are gone by now would be added to the count."""
    for _ in range(_LOOKS):
        _execute(connection, f"ANALYZE {table}")
        if _query(connection, f"SELECT pg_stat_get_dead_tuples('{table}'::regclass)") == [[0]]:
            return False
    return True


def _tables(connection: duckdb.DuckDBPyConnection) -> list[str]:
    found = _query(connection, f"SELECT quote_ident(relname) FROM pg_class WHERE {_OURS} ORDER BY relname")
    return [f"public.{name}" for (name,) in found]


def _holds(
    connection: duckdb.DuckDBPyConnection, rows: str, relation: str, needles: list[bytes], spared: list[bytes]
) -> bool:
    columns = _query(
        connection,
        "SELECT quote_ident(attname) FROM pg_attribute"
        f" WHERE attrelid = {relation} AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
    )
    text = f"concat_ws(chr(10), {', '.join(f'{name}::text' for (name,) in columns)})"
    for form in _forms(spared):
        text = f"replace({text}, '{quoted(form)}', '')"
    tests = [f"position('{quoted(form)}' IN text) > 0" for form in _forms(needles)]
    found = f"SELECT count(*) FROM (SELECT {text} AS text FROM {rows}) AS texts WHERE {' OR '.join(tests)}"
    return bool(tests) and _query(connection, found) != [[0]]


def _forms(needles: list[bytes]) -> Iterator[str]:
    """Yield how bytes can stand in a text: as they are, and as digits, which bytea and statistics of BLOBs show."""
    for needle in needles:
        yield needle.hex()
        yield needle.hex().upper()
        try:
            yield needle.decode()
        except UnicodeDecodeError:  # no text can hold them
            continue
