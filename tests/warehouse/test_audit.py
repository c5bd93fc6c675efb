"""The audit: nothing lost, nothing changed, whoever writes at once."""

import json
import multiprocessing
import os
import pwd
import sqlite3
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from moodreel.warehouse.audit import FILE, KEY, hashed, record_access

VIDEO = "ab" * 32


def entries(warehouse: Path) -> list[dict[str, object]]:
    with closing(sqlite3.connect(warehouse / FILE)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM entries ORDER BY entry_id")]


def test_an_entry_says_who_did_what_when_and_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "somebody-else")
    first = record_access(tmp_path, "read", purpose="research", detail="SELECT 1")
    record_access(tmp_path, "read", detail="SELECT 1", num_rows=1, follows=first)
    one, two = entries(tmp_path)
    assert abs(datetime.fromisoformat(str(one.pop("at"))) - datetime.now(UTC)) < timedelta(minutes=1)
    account = pwd.getpwuid(os.getuid()).pw_name
    known = {"entry_id": 1, "account": account, "action": "read", "purpose": "research", "detail": "SELECT 1"}
    assert one == {**known, "subjects": "[]", "num_rows": None, "follows": None}
    assert (two["num_rows"], two["follows"], two["purpose"]) == (1, 1, None)


def test_videos_and_persons_stand_there_by_keyed_hash(tmp_path: Path) -> None:
    record_access(tmp_path, "erase", subjects=[VIDEO, f"{VIDEO}:3"])
    record_access(tmp_path, "read", detail=f"SELECT * FROM faces WHERE video_id = '{VIDEO}' AND track_id = 3")
    erased, read = entries(tmp_path)
    assert json.loads(str(erased["subjects"])) == [hashed(tmp_path, VIDEO), hashed(tmp_path, f"{VIDEO}:3")]
    assert read["detail"] == f"SELECT * FROM faces WHERE video_id = '{hashed(tmp_path, VIDEO)}' AND track_id = 3"
    assert all(VIDEO.encode() not in path.read_bytes() for path in tmp_path.iterdir())
    assert stat.S_IMODE((tmp_path / KEY).stat().st_mode) == 0o600
    (tmp_path / "other").mkdir()
    assert hashed(tmp_path / "other", VIDEO) != hashed(tmp_path, VIDEO)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE entries SET account = 'nobody'",
        "UPDATE OR REPLACE entries SET entry_id = 2 WHERE entry_id = 1",
        "DELETE FROM entries",
        "DELETE FROM entries WHERE entry_id = 1",
        "REPLACE INTO entries (entry_id, at, account, action, detail, subjects) VALUES (1, '', '', '', '', '')",
        "INSERT INTO entries (entry_id, at, account, action, detail, subjects) VALUES (1, '', '', '', '', '')"
        " ON CONFLICT DO UPDATE SET account = 'nobody'",
    ],
)
def test_nothing_written_can_be_changed(tmp_path: Path, change: str) -> None:
    record_access(tmp_path, "read", detail="one")
    record_access(tmp_path, "read", detail="two")
    before = entries(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE)) as connection, pytest.raises(sqlite3.Error, match="append-only"):
        connection.execute(change)
    assert entries(tmp_path) == before


def _record_many(warehouse: Path, name: str, count: int) -> None:
    for number in range(count):
        assert record_access(warehouse, "read", detail=f"{name} {number}", subjects=[VIDEO]) is not None


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_record_many, args=(tmp_path, name, 25)) for name in "abcd"]
    for writer in writers:  # the file, its tables and its key are made by whoever comes first
        writer.start()
    for writer in writers:
        writer.join(120)
    assert [writer.exitcode for writer in writers] == [0] * 4
    found = entries(tmp_path)
    assert sorted(str(entry["detail"]) for entry in found) == sorted(
        f"{name} {n}" for name in "abcd" for n in range(25)
    )
    assert {str(entry["subjects"]) for entry in found} == {json.dumps([hashed(tmp_path, VIDEO)])}
    assert {path.name for path in tmp_path.iterdir()} == {FILE, KEY}
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_of_two_keys_made_at_once_one_counts(tmp_path: Path) -> None:
    together = threading.Barrier(8)

    def first_hash(folder: Path) -> str:
        together.wait()
        return hashed(folder, VIDEO)

    with ThreadPoolExecutor(8) as threads:
        for number in range(20):
            folder = tmp_path / str(number)
            folder.mkdir()
            hashes = set(threads.map(first_hash, [folder] * 8))
            assert hashes == {hashed(folder, VIDEO)}
            assert [path.name for path in folder.iterdir()] == [KEY]


ON_A_FULL_DISK = """
import resource, sys
from pathlib import Path
from moodreel.warehouse.audit import record_access
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # no file may have a byte
assert record_access(Path(sys.argv[1]), "read", detail="SELECT 1") is None
"""


def test_where_nothing_can_be_written_one_line_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    full = subprocess.run([sys.executable, "-c", ON_A_FULL_DISK, str(tmp_path)], capture_output=True, text=True)
    assert full.returncode == 0, full.stderr
    [line] = full.stderr.splitlines()
    assert "this read is not recorded" in line and str(tmp_path / FILE) in line
    assert record_access(tmp_path, "read", detail="later") == 1  # what the full disk left is no obstacle
    (tmp_path / "other" / FILE).mkdir(parents=True)
    assert record_access(tmp_path / "other", "run") is None
    [line] = capsys.readouterr().err.splitlines()
    assert "this run is not recorded" in line
