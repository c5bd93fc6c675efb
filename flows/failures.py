"""`moodreel failures`: what is not analysed yet because it failed, and having it tried again."""

import json
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

from moodreel.warehouse.ask import ask
from moodreel.warehouse.lake import Lake
from moodreel.warehouse.records import pardon

_COLUMNS = (
    "path, video_id, flow, reason, message, num_attempts, num_nights, last_failed_at::VARCHAR AS last_failed_at,"
    " is_quarantined"
)


def read_failures(warehouse: Path) -> list[dict[str, object]]:
    """Return the open failures, by reason and path.

    Raises:
        ValueError: there is no warehouse.
    """
    is_hopeless = f"coalesce(hopeless_under = '{version('moodreel')}', false) AS is_hopeless"
    rows = ask(warehouse, f"SELECT {_COLUMNS}, {is_hopeless} FROM open_failures ORDER BY reason, path, flow")
    return [dict(row) for row in rows.to_pylist()]


def show_failures(warehouse: Path, as_json: bool) -> None:
    """Print the open failures and what becomes of each."""
    rows = read_failures(warehouse)
    if as_json:
        print(json.dumps({"failures": rows}, ensure_ascii=False))
        return
    for reason, found in groupby(rows, lambda row: row["reason"]):
        same = list(found)
        print(f"{reason} ({len(same)})")
        for row in same:
            print(f"  {row['path']}\n    {row['message']}")
            nights, attempts = _several(row["num_nights"], "night"), _several(row["num_attempts"], "attempt")
            print(f"    {nights}, {attempts}, last {row['last_failed_at']}: {_fate(row)}")
    closed = sum(not _is_tried(row) for row in rows)
    print(f"{len(rows)} open, {closed} of them not tried any more" if rows else "nothing has failed")


def retry_failures(warehouse: Path, which: str | None) -> int:
    """Have what failed tried again by the next run; return how many.

    Args:
        warehouse: folder of the tables.
        which: a path or a video id; None is all that is not tried any more.

    Raises:
        ValueError: there is no warehouse, or no such failure.
    """
    rows = read_failures(warehouse)
    if which is None:
        chosen = [row for row in rows if not _is_tried(row)]
    else:
        names = {which, str(Path(which).absolute()), str(Path(which).resolve())}
        chosen = [row for row in rows if {row["path"], row["video_id"]} & names]
        if not chosen:
            raise ValueError(f"no open failure of {which}: `moodreel failures` names them")
    subjects = {(str(row["path"]), str(row["video_id"]) if row["video_id"] else None) for row in chosen}
    if subjects:
        lake = Lake(warehouse)
        pardon(lake, sorted(subjects, key=str))
        lake.close()
    return len(subjects)


def _is_tried(row: dict[str, object]) -> bool:
    return not (row["is_hopeless"] or row["is_quarantined"])


def _fate(row: dict[str, object]) -> str:
    if row["is_hopeless"]:
        return "hopeless, tried again when the bytes or moodreel's version change"
    return "in quarantine, not tried any more" if row["is_quarantined"] else "the next run tries it again"


def _several(count: object, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
