import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import pytest
from rows import reader

from moodreel.schemas.reasons import Reason, VideoError
from moodreel.schemas.tables import ALL_TABLES
from moodreel.schemas.values import FileStamp, Outcome, RunCounts, StepKey, StepResult, VideoFile, VideoInfo
from moodreel.warehouse.ask import ask
from moodreel.warehouse.commit import commit_video
from moodreel.warehouse.lake import Lake, WarehouseError, open_reader
from moodreel.warehouse.migrate import sql_type
from moodreel.warehouse.records import (
    committed_steps,
    finish_run,
    hopeless_contents,
    known_contents,
    record_failure,
    record_sightings,
    start_run,
)

INFO = VideoInfo(2.0, 25.0, 160, 96, "h264", None, 0)


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    opened = Lake(tmp_path / "w")
    yield opened
    opened.close()


def file(video_id: str) -> VideoFile:
    return VideoFile(f"/v/{video_id}.mp4", FileStamp(10, 20, 30), video_id)


def faces_step(video_id: str, num_frames: int = 3) -> StepResult:
    frames = [{"video_id": video_id, "config_id": "c", "ts_s": i / 5, "num_faces": 0} for i in range(num_frames)]
    return StepResult(StepKey("faces", "c", None), Outcome.OK, None, {"frames": reader("frames", frames)})


def test_a_new_lake_has_the_declared_tables_with_their_columns_and_meanings(lake: Lake) -> None:
    for table in ALL_TABLES:
        found = lake.query(
            "SELECT column_name, data_type, is_nullable, comment FROM duckdb_columns()"
            " WHERE database_name = 'lake' AND table_name = ? ORDER BY column_index",
            [table.name],
        )
        assert found == [(name, sql_type(kind), name in table.nullable, what) for name, kind, what in table.columns]


def test_opening_again_writes_nothing(lake: Lake, tmp_path: Path) -> None:
    count = "SELECT count(*) FROM ducklake_snapshots('lake')"
    before = lake.query(count)
    again = Lake(tmp_path / "w")
    assert again.query(count) == before
    again.close()


def test_a_missing_column_is_added_to_an_old_lake(lake: Lake, tmp_path: Path) -> None:
    lake.transact(lambda connection: connection.execute("ALTER TABLE steps DROP COLUMN detail"))
    again = Lake(tmp_path / "w")
    assert again.query("SELECT detail FROM steps") == []
    again.close()


def test_a_newer_lake_is_refused(lake: Lake, tmp_path: Path) -> None:
    lake.transact(lambda connection: connection.execute("INSERT INTO applied_migrations VALUES ('9999_x.sql', 'd')"))
    with pytest.raises(WarehouseError, match="newer moodreel"):
        Lake(tmp_path / "w")


def test_a_copy_in_another_place_is_a_warehouse_of_its_own(lake: Lake, tmp_path: Path) -> None:
    commit_video(lake, "r", file("a"), INFO, [faces_step("a", 30)], 1.0)
    lake.close()
    shutil.copytree(tmp_path / "w", tmp_path / "copy")
    shutil.rmtree(tmp_path / "w")
    count = "SELECT count(*) AS n FROM frames"
    assert ask(tmp_path / "copy", count).to_pylist() == [{"n": 30}]
    with closing(Lake(tmp_path / "copy")) as copy:
        commit_video(copy, "r", file("b"), INFO, [faces_step("b", 30)], 1.0)
    assert ask(tmp_path / "copy", count).to_pylist() == [{"n": 60}]
    assert not (tmp_path / "w").exists()


def test_the_name_of_a_folder_makes_no_error_a_conflict(tmp_path: Path) -> None:
    with closing(Lake(tmp_path / "conflict, database is locked")) as lake:
        commit_video(lake, "r", file("a"), INFO, [faces_step("a", 30)], 1.0)
        for path in lake.folder.rglob("frames/*.parquet"):
            path.unlink()
        with pytest.raises(duckdb.IOException, match="No such file"):
            lake.transact(lambda connection: connection.execute("DELETE FROM frames WHERE ts_s > 1").fetchall())


def test_rows_of_faces_that_upkeep_removed_are_not_written(lake: Lake) -> None:
    verdicts = StepResult(StepKey("face_emotions", "c", "m"), Outcome.OK, None, {})
    assert not commit_video(lake, "r", file("a"), INFO, [verdicts], 1.0)
    assert lake.query("SELECT count(*) FROM videos") == [(0,)] and committed_steps(lake) == {}
    assert commit_video(lake, "r", file("a"), INFO, [faces_step("a"), verdicts], 1.0)


def test_a_commit_is_whole_and_done_once(lake: Lake) -> None:
    start_run(lake, "r", "nightly", "{}", "1")
    for _ in range(2):
        commit_video(lake, "r", file("a"), INFO, [faces_step("a")], 1.0)
    assert lake.query("SELECT count(*) FROM frames") == [(3,)]
    assert lake.query("SELECT count(*) FROM videos") == [(1,)]
    assert lake.query("SELECT step, outcome FROM steps") == [("faces", "ok")]
    assert committed_steps(lake) == {"a": {StepKey("faces", "c", None)}}


def test_a_commit_that_fails_in_the_middle_leaves_nothing(lake: Lake) -> None:
    def torn() -> object:
        raise RuntimeError("the worker is gone")

    broken = StepResult(StepKey("audio_windows", "s", None), Outcome.OK, None, {"audio_windows": torn})  # type: ignore[dict-item]  # it is to fail
    with pytest.raises(RuntimeError):
        commit_video(lake, "r", file("a"), INFO, [faces_step("a"), broken], 1.0)
    for table in ("videos", "frames", "steps"):
        assert lake.query(f"SELECT count(*) FROM {table}") == [(0,)]
    commit_video(lake, "r", file("a"), INFO, [faces_step("a")], 1.0)
    assert lake.query("SELECT count(*) FROM frames") == [(3,)]


def _commit_many(folder: Path, name: str, count: int) -> None:
    lake = Lake(folder)
    for index in range(count):
        video_id = f"{name}{index}"
        commit_video(lake, "r", file(video_id), INFO, [faces_step(video_id)], 1.0)
    lake.close()


def test_two_writers_lose_nothing_and_readers_see_whole_videos(tmp_path: Path) -> None:
    Lake(tmp_path).close()
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_commit_many, args=(tmp_path, name, 8)) for name in "xy"]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        connection = open_reader(tmp_path)
        sql = "SELECT (SELECT count(*) FROM frames), (SELECT count(*) FROM steps)"
        frames, steps = connection.execute(sql).fetchall()[0]
        connection.close()
        assert frames == 3 * steps
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert ask(tmp_path, "SELECT count(*) AS n FROM steps").to_pylist() == [{"n": 16}]


def _commit_until_killed(folder: Path, ready: object) -> None:
    lake = Lake(folder)
    for index in range(10_000):
        commit_video(lake, "r", file(f"v{index}"), INFO, [faces_step(f"v{index}", 40)], 1.0)
        ready.set()  # type: ignore[attr-defined]  # multiprocessing's event has no public type


def test_a_killed_writer_leaves_no_half_video(tmp_path: Path) -> None:
    Lake(tmp_path).close()
    spawn = multiprocessing.get_context("spawn")
    ready = spawn.Event()
    writer = spawn.Process(target=_commit_until_killed, args=(tmp_path, ready))
    writer.start()
    assert ready.wait(60)
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    counts = "SELECT (SELECT count(*) FROM frames) AS frames, (SELECT count(*) FROM steps) AS steps"
    [found] = ask(tmp_path, counts).to_pylist()
    assert found["frames"] == 40 * found["steps"] > 0
    lake = Lake(tmp_path)
    commit_video(lake, "r", file("after"), INFO, [faces_step("after")], 1.0)
    lake.close()


def test_runs_sightings_and_failures_are_remembered(lake: Lake) -> None:
    start_run(lake, "r", "nightly", '{"folder": "x"}', "1")
    record_sightings(lake, "r", [file("a"), file("b")])
    record_failure(lake, "r", "/v/a.mp4", "a", VideoError(Reason.NOT_A_VIDEO, "text", "probe"), 1)
    record_failure(lake, "r", "/v/b.mp4", "b", VideoError(Reason.TIMEOUT, "slow", "picture"), 2)
    record_failure(lake, "r", "/v/link.mp4", None, VideoError(Reason.OUTSIDE_FOLDER, "link", "discover"), 1)
    finish_run(lake, "r", "completed", RunCounts(1, 2, 3, 4))
    assert known_contents(lake) == {(f"/v/{name}.mp4", FileStamp(10, 20, 30)): name for name in "ab"}
    assert hopeless_contents(lake, "1") == {"a", "/v/link.mp4"}
    assert hopeless_contents(lake, "2") == set()
    assert lake.query("SELECT state, num_videos, config->>'folder' FROM runs") == [("completed", 6, "x")]


def test_a_run_started_again_has_one_row(lake: Lake) -> None:
    start_run(lake, "r", "nightly", "{}", "1")
    finish_run(lake, "r", "failed", None)
    start_run(lake, "other", "nightly", "{}", "1")
    start_run(lake, "r", "nightly", "{}", "2")  # as Prefect's Retry does
    rows = lake.query("SELECT run_id, state, code_version, finished_at FROM runs ORDER BY run_id")
    assert rows == [("other", "running", "1", None), ("r", "running", "2", None)]


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM videos",
        "SELECT 1; SELECT 2",
        "COPY videos TO 'x.csv'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "ATTACH '/tmp/x.db'",
        "SET memory_limit = '2GB'",
        "SELEC 1",
        "SELECT nothing FROM videos",
    ],
)
def test_only_one_select_over_the_lake_is_answered(lake: Lake, tmp_path: Path, query: str) -> None:
    with pytest.raises(WarehouseError):
        ask(tmp_path / "w", query)


def test_no_warehouse_says_what_to_do_and_makes_none(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="moodreel run FOLDER"):
        open_reader(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_folder_that_is_no_warehouse_is_refused(tmp_path: Path) -> None:
    (tmp_path / "catalog.sqlite").write_text("something else")
    with pytest.raises((WarehouseError, duckdb.Error)):
        Lake(tmp_path)


def test_ten_thousand_sightings_take_seconds(lake: Lake) -> None:
    files = [file(f"{number:05d}") for number in range(10_000)]
    started = time.monotonic()
    record_sightings(lake, "r", files)
    assert len(known_contents(lake)) == 10_000
    assert time.monotonic() - started < 5


def test_a_long_query_draws_no_bar_into_what_a_notebook_prints(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from moodreel.warehouse.lake import Lake;"
        "print(Lake(pathlib.Path(sys.argv[1])).query(\"SELECT current_setting('enable_progress_bar')\"))"
    )
    told = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert told.stdout == "[(False,)]\n"


def test_signatures_of_extensions_are_checked_once_in_a_process(lake: Lake, tmp_path: Path) -> None:
    lake.close()
    program = """
import sys
from pathlib import Path
from moodreel.warehouse.lake import open_reader
for _ in range(2):
    with open_reader(Path(sys.argv[1])) as reader:
        print(reader.execute("SELECT current_setting('allow_unsigned_extensions')").fetchone())
"""
    told = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "w")], capture_output=True, text=True, check=True
    )
    assert told.stdout.splitlines() == ["(False,)", "(True,)"]
