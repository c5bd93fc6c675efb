"""Tombstones: what keeps later nights from bringing an erased video or person back.

A row holds a keyed hash, so that neither the id nor a guess at it can be read from the table; the key lies beside the
catalog, in a file that only its owner may read.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final

import duckdb
from blake3 import blake3

from moodreel.warehouse.append import append_rows
from moodreel.warehouse.keys import make_key
from moodreel.warehouse.lake import Lake, WarehouseError

KEY_FILE: Final = "tombstones.key"


def bury(lake: Lake, video_id: str, scope: str) -> None:
    """Write a tombstone unless it is there already.

    Args:
        lake: the warehouse.
        video_id: the video that no later night may analyse.
        scope: what of it was erased, video or person.

    Raises:
        WarehouseError: there are tombstones, but the key that reads them is gone.
    """
    if not lake.query("SELECT 1 FROM tombstones LIMIT 1"):  # a second key would make the first one's rows unreadable
        make_key(lake.folder / KEY_FILE)
    row = {"keyed_hash": _hash(lake, video_id), "scope": scope, "erased_at": datetime.now(UTC)}

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        same = connection.execute(
            "SELECT 1 FROM tombstones WHERE keyed_hash = ? AND scope = ?", [row["keyed_hash"], scope]
        ).fetchone()
        if same is None:
            append_rows(connection, "tombstones", [row])

    lake.transact(work)


def erased_among(lake: Lake, video_ids: Collection[str]) -> set[str]:
    """Return those videos that were erased, whole or a person of them.

    Raises:
        WarehouseError: there are tombstones, but the key that reads them is gone.
    """
    hashes = {str(keyed_hash) for (keyed_hash,) in lake.query("SELECT DISTINCT keyed_hash FROM tombstones")}
    return {video_id for video_id in video_ids if _hash(lake, video_id) in hashes} if hashes else set()


def scopes_erased(lake: Lake, connection: duckdb.DuckDBPyConnection, video_id: str) -> set[str]:
    """Return inside a transaction what of a video was erased: video, person, both or nothing; see `erased_among`."""
    rows = connection.execute("SELECT keyed_hash, scope FROM tombstones").fetchall()
    own = _hash(lake, video_id) if rows else None
    return {str(scope) for keyed_hash, scope in rows if keyed_hash == own}


def _hash(lake: Lake, video_id: str) -> str:
    try:
        key = (lake.folder / KEY_FILE).read_bytes()
    except FileNotFoundError:
        key = b""
    if len(key) != blake3.key_size:
        raise WarehouseError(
            f"{lake.folder / KEY_FILE} is gone or damaged: restore it, or erased videos would be analysed again"
        )
    return blake3(video_id.encode(), key=key).hexdigest()
