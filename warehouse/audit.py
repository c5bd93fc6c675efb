"""Who used a warehouse, when and for what: `audit.sqlite`, to which entries are added and nothing else.

A file of its own, so that it outlives erased rows and expired snapshots of the lake. It names the account that acted,
since an auditor asks who, and those who were looked at only by keyed hashes of their ids.
"""

import json
import os
import re
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from blake3 import blake3

from moodreel.warehouse.keys import make_key

FILE: Final = "audit.sqlite"
KEY: Final = "audit.key"
Action = Literal["run", "rerun", "read", "export", "erase"]  # read: rows were printed; export: written to a file

_VIDEO_ID: Final = re.compile(r"\b[0-9a-f]{64}\b")
_PATIENCE_S: Final = 30.0  # with other processes that write an entry
_REFUSE: Final = "BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END"
_SCHEMA: Final = (
    """
    CREATE TABLE entries (
        entry_id INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,         -- UTC, ISO 8601
        account TEXT NOT NULL,    -- of the operating system
        action TEXT NOT NULL,     -- run, rerun, read, export or erase
        purpose TEXT,
        detail TEXT NOT NULL,     -- the run's id or the SQL's text, video ids in it hashed
        subjects TEXT NOT NULL,   -- JSON list of hashed ids of videos and persons
        num_rows INTEGER,         -- given out; NULL in an entry written before the rows were read
        follows INTEGER           -- the entry that this one completes
    )
    """,
    f"CREATE TRIGGER no_update BEFORE UPDATE ON entries {_REFUSE}",
    f"CREATE TRIGGER no_delete BEFORE DELETE ON entries {_REFUSE}",
    # INSERT OR REPLACE deletes without asking no_delete
    f"CREATE TRIGGER no_replace BEFORE INSERT ON entries"
    f" WHEN EXISTS (SELECT 1 FROM entries WHERE entry_id = NEW.entry_id) {_REFUSE}",
)


def record_access(
    warehouse: Path,
    action: Action,
    *,
    purpose: str | None = None,
    detail: str = "",
    subjects: Sequence[str] = (),
    num_rows: int | None = None,
    follows: int | None = None,
) -> int | None:
    """Add an entry and return its number; where it can't be written, say so on standard error and return None.

    Args:
        warehouse: the folder of the tables, which is there already.
        action: what is done.
        purpose: what for, as stated.
        detail: a run's id or a query's text; video ids in it are hashed.
        subjects: ids of the videos (VIDEO_ID) and persons (VIDEO_ID:TRACK_ID) concerned; they are hashed.
        num_rows: rows given out, once that is known.
        follows: the entry that this one completes.
    """
    try:
        entry: dict[str, object] = {
            "at": datetime.now(UTC).isoformat(),
            "account": _account(),
            "action": action,
            "purpose": purpose,
            "detail": _VIDEO_ID.sub(lambda found: hashed(warehouse, found[0]), detail),
            "subjects": json.dumps([hashed(warehouse, subject) for subject in subjects]),
            "num_rows": num_rows,
            "follows": follows,
        }
        return _append(warehouse / FILE, entry)
    except (sqlite3.Error, OSError) as error:
        told = f"moodreel: this {action} is not recorded, since {warehouse / FILE} can't be written: {error}"
        print(told, file=sys.stderr)
        return None


def hashed(warehouse: Path, subject: str) -> str:
    """Return the keyed hash under which the audit knows an id; 32 hex digits, of no use without the key.

    Raises:
        OSError: the warehouse has no key yet and none can be written.
    """
    make_key(warehouse / KEY)
    return blake3(subject.encode(), key=(warehouse / KEY).read_bytes()).hexdigest(length=16)


def _append(path: Path, entry: dict[str, object]) -> int:
    with closing(sqlite3.connect(path, timeout=_PATIENCE_S, isolation_level=None)) as connection:
        with suppress(sqlite3.OperationalError):  # another process is just doing it
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'entries'").fetchone():
            for statement in _SCHEMA:
                connection.execute(statement)
        names = ", ".join(entry)
        marks = ", ".join(f":{name}" for name in entry)
        number = connection.execute(f"INSERT INTO entries ({names}) VALUES ({marks})", entry).lastrowid
        connection.execute("COMMIT")
    assert number is not None
    return number


def _account() -> str:
    """The account's name by its number: the variables LOGNAME and USER say what anybody likes."""
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):  # no Unix, or a container's user without a name
        return str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "unknown")
