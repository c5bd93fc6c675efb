"""Connections to DuckDB that know how to reach a warehouse's storage."""

import os
import re
from functools import cache
from typing import Final

import duckdb
import duckdb_extensions

from moodreel.warehouse.storage import Storage, WarehouseError

NAME: Final = "lake"  # of the attached lake
CATALOG: Final = f"__ducklake_metadata_{NAME}"  # DuckLake attaches its catalog under that name
NUM_THREADS: Final = 2
# packages whose extension this process has loaded, its signature checked; each further check would read 70 MB again
_checked: Final[set[str]] = set()


def connect(storage: Storage) -> duckdb.DuckDBPyConnection:
    """Open an empty database in memory, with what the storage needs loaded and the bucket's keys at hand.

    Raises:
        WarehouseError: the data lie in a bucket and the environment has no keys to it.
    """
    kind = "sqlite" if storage.postgres is None else "postgres"
    extensions = {"ducklake": "ducklake", kind: f"{kind}_scanner"} | ({"httpfs": "httpfs"} if storage.s3 else {})
    connection = duckdb.connect(
        config={
            "memory_limit": "1GB",
            "threads": NUM_THREADS,
            "autoinstall_known_extensions": False,
            "allow_unsigned_extensions": _checked.issuperset(extensions),
        }
    )
    # on where DuckDB takes Python for interactive, a notebook or python -c, and drawn into what a command prints
    connection.execute("SET enable_progress_bar = false")
    connection.execute("SET TimeZone = 'UTC'")
    for package, name in extensions.items():
        _install(package)
        connection.execute(f"LOAD {name}")
    _checked.update(extensions)
    if storage.s3 is not None:
        _tell_keys(connection, storage)
    return connection


def quoted(text: object) -> str:
    """Return a text for between the quotes of an SQL string.

    Where a user waits for a small question: for a query's first parameter DuckDB imports pandas, which takes longer.
    """
    return str(text).replace("'", "''")


def first_line(error: Exception) -> str:
    """Return the first line of an error of DuckDB, which may be long."""
    return str(error).splitlines()[0]


def outside_quotes(error: Exception) -> str:
    """Return an error's text in small letters without what it quotes, since the name of a folder is no cause."""
    return re.sub(r'"[^"]*"', '""', str(error).lower())


@cache
def _install(package: str) -> None:
    duckdb_extensions.import_extension(package)


def _tell_keys(connection: duckdb.DuckDBPyConnection, storage: Storage) -> None:
    assert storage.s3 is not None
    keys = {
        "KEY_ID": os.environ.get("AWS_ACCESS_KEY_ID"),
        "SECRET": os.environ.get("AWS_SECRET_ACCESS_KEY"),
    }
    if not all(keys.values()):
        raise WarehouseError(f"{storage.data} wants keys: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    options = keys | {
        "SESSION_TOKEN": os.environ.get("AWS_SESSION_TOKEN"),
        "ENDPOINT": storage.s3.endpoint,
        "REGION": storage.s3.region,
        "URL_STYLE": storage.s3.url_style,
        "USE_SSL": str(storage.s3.is_encrypted).lower(),
        "SCOPE": storage.data,
    }
    told = ", ".join(f"{name} '{quoted(value)}'" for name, value in options.items() if value)
    connection.execute(f"CREATE SECRET bucket (TYPE s3, {told})")
