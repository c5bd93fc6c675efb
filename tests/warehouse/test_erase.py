"""Erasing on a real lake: inlined rows, several files, merged ones, several snapshots, a session that stays open."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from erasable import BOB, INFO, PATHS, PERSON, SHARED, WITH_A_VIDEO, ZOE, file, fill, leave_strays, results

from moodreel.schemas.reasons import Reason, VideoError
from moodreel.schemas.tables import ALL_TABLES
from moodreel.warehouse.commit import commit_steps, commit_video
from moodreel.warehouse.erase import STEPS, Step, delete_rows, erase, write_tombstone
from moodreel.warehouse.lake import Lake, WarehouseError
from moodreel.warehouse.proof import NotErasedError
from moodreel.warehouse.records import record_failure, start_run
from moodreel.warehouse.target import find_target, read_intent, write_intent
from moodreel.warehouse.tombstones import KEY_FILE, erased_among


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A warehouse and a copy to restore it from."""
    folder = tmp_path_factory.mktemp("erase")
    fill(folder / "w")
    leave_strays(folder / "w" / "data")
    shutil.copytree(folder / "w", folder / "copy")
    return folder / "w", folder / "copy"


_SESSION = """
import sqlite3, sys
session = sqlite3.connect(sys.argv[1])
session.execute("SELECT * FROM ducklake_snapshot").fetchall()
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def lake(filled: tuple[Path, Path]) -> Iterator[Lake]:
    """The warehouse as filled, while an idle session elsewhere keeps the WAL alive."""
    folder, copy = filled
    shutil.rmtree(folder)
    shutil.copytree(copy, folder)
    command = [sys.executable, "-c", _SESSION, str(folder / "catalog.sqlite")]
    session = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert session.stdout is not None and session.stdout.readline() == "open\n"
    opened = Lake(folder)
    yield opened
    opened.close()
    session.communicate()


def everything(lake: Lake) -> dict[str, list[tuple[object, ...]]]:
    return {table.name: lake.query(f"SELECT * FROM {table.name} ORDER BY ALL") for table in ALL_TABLES}


def everywhere(folder: Path) -> dict[str, list[dict[str, object]]]:
    """The rows of every Parquet file, read past the catalog; what is torn elsewhere than in crops may stay."""
    found = (folder / "data").rglob("*.parquet")
    files = [path for path in found if path.name != "torn.parquet" or path.parent.name == "crops"]
    return {str(path): pq.ParquetFile(path).read().to_pylist() for path in files}


def test_a_video_is_gone_from_every_table_file_and_byte(lake: Lake) -> None:
    before = everything(lake)
    proof = erase(lake, find_target(lake, ZOE))
    assert proof.num_data_files > 5 and proof.num_snapshots == 1
    lake.close()
    for path, rows in everywhere(lake.folder).items():
        assert not [row for row in rows if ZOE in map(str, row.values())], path
        assert not [row for row in rows if row.get("path") == PATHS[ZOE]], path
    catalog = b"".join(path.read_bytes() for path in lake.folder.glob("catalog.sqlite*"))
    longer = (PATHS[ZOE] + ".mp4").encode()
    assert ZOE.encode() not in catalog and PATHS[ZOE].encode() not in catalog.replace(longer, b"")
    after = everything(Lake(lake.folder))
    for table, rows in after.items():
        gone = [row for row in before[table] if ZOE in row or PATHS[ZOE] in row]
        assert len(rows) == len(before[table]) - len(gone) + (table == "tombstones"), table
        assert gone or table not in WITH_A_VIDEO, table
    # the path that another video was seen under stays with that one
    assert {row[1] for row in after["sightings"]} >= {SHARED, PATHS[BOB]}
    assert sorted(str(row[0]) for row in after["failures"]) == sorted([SHARED, PATHS[ZOE] + ".mp4"])
    assert not (lake.folder / "staging" / "dead-run").exists()


@pytest.mark.parametrize(
    "left_out",
    [
        pytest.param(step, marks=[pytest.mark.slow] * (number % 3 != 2), id=step.__name__)
        for number, step in enumerate(STEPS)
    ],
)
@pytest.mark.parametrize(
    "named", [pytest.param(ZOE, id="video"), pytest.param(PERSON, id="person", marks=pytest.mark.slow)]
)
def test_the_proof_fails_if_a_step_is_left_out(lake: Lake, left_out: Step, named: str) -> None:
    target = find_target(lake, named)
    # DuckLake itself does not rewrite files of a table with inlined reals
    with pytest.raises((NotErasedError, duckdb.Error), match=r"left: |inlined-data"):
        erase(lake, target, [step for step in STEPS if step is not left_out])
    assert read_intent(lake.folder) == target


def test_a_person_is_gone_and_the_rest_of_the_video_adds_up(lake: Lake) -> None:
    views = "SELECT track_id, num_faces FROM person_emotions WHERE video_id = ? AND model_id = 'm' ORDER BY ALL"
    assert lake.query(views, [ZOE]) == [(0, 30), (1, 30)]
    erase(lake, find_target(lake, PERSON))
    lake.close()
    for path, rows in everywhere(lake.folder).items():
        for row in rows:
            if row.get("video_id") == ZOE:
                assert row.get("track_id") != 1 and int(str(row.get("face_id", 0))) % 2 == 0, path
                assert row.get("config_id") != "old", path
    catalog = b"".join(path.read_bytes() for path in lake.folder.glob("catalog.sqlite*"))
    assert b"f0f0 person 1" not in catalog and b"f0f0 person 1".hex().upper().encode() not in catalog
    lake = Lake(lake.folder)
    assert lake.query(views, [ZOE]) == [(0, 30)]
    assert lake.query("SELECT DISTINCT config_id, num_faces FROM frames WHERE video_id = ?", [ZOE]) == [("new", 1)]
    told = "SELECT num_frames, num_faces, num_people, seconds_with_face > 0 FROM video_emotions WHERE video_id = ?"
    assert lake.query(f"{told} AND model_id = 'm'", [ZOE]) == [(30, 30, 1, True)]
    steps = lake.query("SELECT step, model_id, num_rows FROM steps WHERE video_id = ? ORDER BY ALL", [ZOE])
    few = [("face_emotions", "n", 2), ("face_features", "n", 2)]
    assert steps == sorted([("face_emotions", "m", 30), ("face_features", "m", 30), ("faces", None, 30), *few], key=str)
    # another video's person of that number is somebody else
    assert lake.query(views, [BOB]) == [(0, 30), (1, 30)]
    assert erased_among(lake, [ZOE, BOB]) == {ZOE}
    lake.close()


def test_what_is_left_is_found_also_after_new_rows(lake: Lake) -> None:
    """Statistics narrower than the rows would hide them from every query by id."""
    erase(lake, find_target(lake, ZOE))
    lake.close()
    lake = Lake(lake.folder)
    newest = "66" * 32
    commit_video(lake, "r", file(newest), INFO, results(newest, "new", 30), 1.0)
    for video in (BOB, "5e" * 32, "7c" * 32, newest):
        assert lake.query("SELECT count(*) FROM faces WHERE video_id = ?", [video]) == [(60,)]
        assert lake.query("SELECT count(*) FROM faces WHERE video_id = ? AND x0 > 950", [video]) == [(5,)]
    lake.close()


def test_a_run_that_slept_through_an_erasure_does_not_bring_the_video_back(lake: Lake) -> None:
    erase(lake, find_target(lake, ZOE))
    lake.close()
    lake = Lake(lake.folder)
    assert not commit_video(lake, "r", file(ZOE), INFO, results(ZOE, "new", 30), 1.0)
    assert not commit_steps(lake, "r", ZOE, results(ZOE, "new", 30), 1.0)
    record_failure(lake, "r", PATHS[ZOE], ZOE, VideoError(Reason.CRASH, "late", "commit"), 1)
    for table in WITH_A_VIDEO:
        assert lake.query(f"SELECT count(*) FROM {table} WHERE video_id = ?", [ZOE]) == [(0,)], table
    lake.close()


def test_another_model_may_still_judge_the_people_who_stay(lake: Lake) -> None:
    erase(lake, find_target(lake, PERSON))
    lake.close()
    lake = Lake(lake.folder)
    verdicts = [step for step in results(ZOE, "new", 15, "later") if step.key.step == "face_emotions"]
    # what was read before the erasure holds the person's faces
    assert not commit_steps(lake, "r", ZOE, verdicts, 1.0, num_source_rows=60)
    assert commit_steps(lake, "r", ZOE, verdicts, 1.0, num_source_rows=30)
    lake.close()


def test_a_run_over_a_folder_named_like_the_video_is_not_in_the_way(lake: Lake) -> None:
    start_run(lake, "parts", "nightly", json.dumps({"folder": PATHS[ZOE] + "_parts"}, ensure_ascii=False), "1")
    erase(lake, find_target(lake, ZOE))
    lake.close()
    lake = Lake(lake.folder)
    assert lake.query("SELECT config->>'folder' FROM runs WHERE run_id = 'parts'") == [(PATHS[ZOE] + "_parts",)]
    lake.close()


def test_a_number_that_means_two_people_is_refused(lake: Lake) -> None:
    commit_steps(lake, "r", ZOE, results(ZOE, "newer", 30, "n"), 1.0)
    with pytest.raises(WarehouseError, match="number its people differently"):
        find_target(lake, PERSON)
    commit_steps(lake, "r", ZOE, results(ZOE, "newer", 30, "m")[1:], 1.0)
    assert set(find_target(lake, PERSON).old_configs) == {"old", "new"}


@pytest.mark.parametrize("num_steps", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 8))])
def test_an_erasure_cut_short_is_finished_from_what_it_kept(lake: Lake, num_steps: int) -> None:
    target = find_target(lake, PERSON)
    write_intent(lake.folder, target)
    for step in STEPS[:num_steps]:
        step(lake, target)
    lake.close()
    lake = Lake(lake.folder)
    kept = read_intent(lake.folder)
    assert kept == target
    erase(lake, kept)
    assert read_intent(lake.folder) is None
    lake.close()


def test_a_target_is_named_by_id_path_or_person(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    by_path = find_target(lake, PATHS[ZOE])
    assert (by_path.video_id, by_path.scope, by_path.paths) == (ZOE, "video", (PATHS[ZOE],))
    assert by_path.longer_paths == (PATHS[ZOE] + ".mp4",)
    monkeypatch.chdir("/")
    assert find_target(lake, PATHS[BOB][1:]).video_id == BOB
    person = find_target(lake, PERSON)
    assert (person.video_id, person.track_id, person.old_configs) == (ZOE, 1, ("old",))
    assert person.face_ids == tuple(range(1, 60, 2))


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("nobody", "nothing is known of nobody"),
        ("", "nothing is known of"),
        (f"{ZOE}:9", "no person 9"),
        (SHARED, f"several videos: name one of them by its id: {BOB}, {ZOE}"),
    ],
)
def test_what_is_not_known_is_refused_in_one_line(lake: Lake, named: str, says: str) -> None:
    with pytest.raises(WarehouseError, match=says) as told:
        find_target(lake, named)
    assert "\n" not in str(told.value)


def test_the_tombstone_names_nobody_and_its_key_is_the_owners(lake: Lake) -> None:
    target = find_target(lake, ZOE)
    for _ in range(2):
        write_tombstone(lake, target)
    [(keyed_hash, scope)] = lake.query("SELECT keyed_hash, scope FROM tombstones")
    key = lake.folder / KEY_FILE
    assert scope == "video" and keyed_hash != ZOE and len(key.read_bytes()) == 32
    assert os.stat(key).st_mode & 0o777 == 0o600
    assert erased_among(lake, [ZOE, BOB]) == {ZOE}
    key.unlink()
    for read_or_write in (lambda: erased_among(lake, [BOB]), lambda: write_tombstone(lake, target)):
        with pytest.raises(WarehouseError, match="restore it"):
            read_or_write()


@pytest.mark.slow
def test_an_open_query_on_the_catalog_is_told(lake: Lake) -> None:
    command = [sys.executable, "-c", _SESSION.replace("sqlite3.connect(sys.argv[1])", _IN_A_QUERY)]
    with subprocess.Popen([*command, str(lake.folder / "catalog.sqlite")], stdin=-1, stdout=-1, text=True) as query:
        assert query.stdout is not None and query.stdout.readline() == "open\n"
        with pytest.raises(NotErasedError, match="wait for its query to end"):
            erase(lake, find_target(lake, ZOE))
        query.communicate()
    kept = read_intent(lake.folder)
    assert kept is not None
    erase(lake, kept)


_IN_A_QUERY = "sqlite3.connect(sys.argv[1], isolation_level=None); session.execute('BEGIN')"


def test_deleting_rows_twice_changes_nothing_more(lake: Lake) -> None:
    target = find_target(lake, PERSON)
    delete_rows(lake, target)
    once = everything(lake)
    delete_rows(lake, target)
    assert everything(lake) == once
