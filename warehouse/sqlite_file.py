"""SQLite's own work on a catalog file, in a child process.

DuckDB carries a SQLite of its own: a second one in this process, or only a read of the file, would make it lose its
locks. This file is also the child's program, so it imports nothing of moodreel.
"""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_PATIENCE_S = 10.0  # for another process's transaction


def run_in_sqlite(catalog: Path, *statements: str) -> list[list[list[Any]]]:
    """Run statements on a catalog's file, each on its own, and return the rows of each.

    Raises:
        RuntimeError: SQLite refuses one, or the catalog stays locked.
    """
    answer: list[list[list[Any]]] = _ask_child({"catalog": catalog.absolute().as_uri(), "statements": statements})
    return answer


def read_file(catalog: Path, *statements: str) -> list[list[list[Any]]]:
    """Run SELECTs on a catalog's file as it lies there, without what its WAL adds."""
    uri = catalog.absolute().as_uri() + "?immutable=1"
    answer: list[list[list[Any]]] = _ask_child({"catalog": uri, "statements": statements})
    return answer


def search_file(catalog: Path, needles: Iterable[bytes], spared: Iterable[bytes] = ()) -> list[str]:
    """Search a catalog's file, its WAL and SHM for bytes; return "file: bytes" of each that is there.

    Args:
        catalog: the file.
        needles: what must not be there.
        spared: longer bytes that may be there although they hold a needle.
    """
    files = sorted(str(path) for path in catalog.parent.glob(f"{catalog.name}*"))
    request = {"files": files, "needles": [n.hex() for n in needles], "spared": [s.hex() for s in spared]}
    found: list[str] = _ask_child(request)
    return found


def _ask_child(request: Mapping[str, object]) -> Any:
    command = [sys.executable, "-I", __file__]
    child = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True)
    if child.returncode:
        raise RuntimeError(f"the catalog can't be worked on: {child.stderr.strip().splitlines()[-1]}")
    return json.loads(child.stdout)


def _answer(request: dict[str, Any]) -> object:
    if "files" in request:
        return list(_search(request["files"], request["needles"], request["spared"]))
    connection = sqlite3.connect(request["catalog"], uri=True, timeout=_PATIENCE_S, isolation_level=None)
    try:
        return [connection.execute(statement).fetchall() for statement in request["statements"]]
    finally:
        connection.close()


def _search(files: list[str], needles: list[str], spared: list[str]) -> Iterable[str]:
    for file in files:
        try:
            content = Path(file).read_bytes()
        except FileNotFoundError:  # the WAL goes with its last reader
            continue
        for longer in spared:
            content = content.replace(bytes.fromhex(longer), b"")
        for needle in map(bytes.fromhex, needles):
            if needle in content:
                yield f"{Path(file).name}: {needle!r}"


if __name__ == "__main__":
    json.dump(_answer(json.load(sys.stdin)), sys.stdout)
