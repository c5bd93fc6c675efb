"""A lake whose catalog is a real PostgreSQL database: several drivers at once, kills, restarts, upkeep, erasing."""

import multiprocessing
import os
import random
import re
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from multiprocessing.synchronize import Barrier
from pathlib import Path

import duckdb
import pytest
from erasable import BOB, INFO, PATHS, PERSON, ZOE, file, fill, leave_strays, results
from lakes import keep_up
from postgres import PostgresServer, postgres_server
from storages import name_storage

from moodreel.warehouse.append import append_rows
from moodreel.warehouse.ask import ask
from moodreel.warehouse.commit import commit_video
from moodreel.warehouse.erase import STEPS, Step, empty_wal, erase
from moodreel.warehouse.lake import CatalogLostError, Lake, WarehouseError, open_reader
from moodreel.warehouse.leases import RUN, UPKEEP, Leases
from moodreel.warehouse.proof import NotErasedError
from moodreel.warehouse.target import find_target
from moodreel.warehouse.upkeep import measure

SPAWN = multiprocessing.get_context("spawn")
VIDEOS = [f"{number:02x}" * 32 for number in range(5)]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        yield running


@pytest.fixture
def home(server: PostgresServer, tmp_path: Path) -> Path:
    """Two drivers' folders, a and b, with one catalog and one folder of data."""
    words = server.words(server.new_database())
    for driver in ("a", "b"):
        name_storage(tmp_path / driver, catalog=words, data=f"{tmp_path}/data/")
    return tmp_path


def commit(lake: Lake, video: str) -> bool:
    return commit_video(lake, "r", file(video), INFO, results(video, "c", 30), 1.0)


def assert_whole(folder: Path, videos: list[str]) -> None:
    """Each video is there once, with all its rows, and nothing else."""
    assert [row["video_id"] for row in ask(folder, "SELECT video_id FROM videos ORDER BY 1").to_pylist()] == videos
    for table, step in (("faces", "faces"), ("face_emotions", "face_emotions"), ("face_features", "face_features")):
        rows = ask(folder, f"SELECT video_id, count(*) AS n FROM {table} GROUP BY 1 ORDER BY 1").to_pylist()
        assert rows == [{"video_id": video, "n": 60} for video in videos], table
        steps = ask(folder, f"SELECT video_id FROM steps WHERE step = '{step}' ORDER BY 1").to_pylist()
        assert [row["video_id"] for row in steps] == videos, table


def test_what_one_driver_commits_the_other_and_sql_read(home: Path) -> None:
    with closing(Lake(home / "a")) as a, closing(Lake(home / "b")) as b:
        assert commit(a, ZOE) and not commit(b, ZOE)
        assert b.query("SELECT count(*) FROM faces") == [(60,)]
    assert_whole(home / "b", [ZOE])
    assert not (home / "a" / "catalog.sqlite").exists() and not (home / "a" / "data").exists()


def _drive(folder: Path, videos: list[str], together: Barrier) -> None:
    """Make the warehouse, take what leases one can, commit all videos; the exit code is the number of leases."""
    together.wait(120)
    lake = Lake(folder)
    with Leases(lake, f"driver {os.getpid()}") as leases:
        together.wait(120)
        num_won = sum(leases.take(f"video:{number}") for number in range(40))
        together.wait(120)
    for video in videos:
        commit(lake, video)
    os._exit(num_won)


def test_drivers_at_once_share_no_lease_and_commit_every_video_once(home: Path) -> None:
    together = SPAWN.Barrier(3)
    orders = [VIDEOS, VIDEOS[::-1], VIDEOS[3:] + VIDEOS[:3]]
    folders = [home / "a", home / "b", home / "b"]
    drivers = [SPAWN.Process(target=_drive, args=(*pair, together)) for pair in zip(folders, orders, strict=True)]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join(250)
    assert sum(driver.exitcode or 0 for driver in drivers) == 40, [driver.exitcode for driver in drivers]
    assert_whole(home / "a", VIDEOS)


def test_a_run_and_upkeep_never_hold_at_the_same_time(home: Path) -> None:
    """Their names differ, so no key of a row keeps them apart."""
    wishes = [(f"{RUN}r", UPKEEP), (UPKEEP, RUN)]
    with closing(Lake(home / "a")) as a, closing(Lake(home / "b")) as b:
        sides = [(Leases(lake, name), name, other) for lake, (name, other) in zip((a, b), wishes, strict=True)]
        for _ in range(6):
            together = threading.Barrier(2)
            won: list[str] = []

            def race(leases: Leases, name: str, other: str, together: threading.Barrier, won: list[str]) -> None:
                together.wait(60)
                if leases.take(name, blocked_by=other):
                    won.append(name)

            racers = [threading.Thread(target=race, args=(*side, together, won)) for side in sides]
            for racer in racers:
                racer.start()
            for racer in racers:
                racer.join()
            assert len(won) == 1
            for leases, name, _ in sides:
                leases.release(name)


def _commit_for_ever(folder: Path) -> None:
    lake = Lake(folder)
    for number in range(10_000):
        commit(lake, f"{number:04x}" * 16)


@pytest.mark.slow
def test_a_killed_driver_leaves_whole_videos_and_keeps_nobody_waiting(home: Path) -> None:
    with closing(Lake(home / "b")) as b:
        for _ in range(2):
            before = b.query("SELECT count(*) FROM videos")
            driver = SPAWN.Process(target=_commit_for_ever, args=(home / "a",))
            driver.start()
            while b.query("SELECT count(*) FROM videos") == before:
                assert driver.is_alive()
                time.sleep(0.05)
            time.sleep(random.uniform(0, 0.5))
            driver.kill()
            driver.join()
        assert driver.exitcode == -signal.SIGKILL
        started = time.monotonic()
        assert commit(b, "ff" * 32)
        assert time.monotonic() - started < 20
        videos = sorted(str(video) for (video,) in b.query("SELECT video_id FROM videos"))
    assert_whole(home / "b", videos)


def test_a_server_that_restarts_in_a_transaction_costs_no_row_and_doubles_none(
    server: PostgresServer, home: Path
) -> None:
    restarts = []

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        append_rows(connection, "pardons", [{"path": "/v/a.mp4", "pardoned_at": datetime.now(UTC)}])
        if not restarts:
            server.stop()
            server.start()
            restarts.append(True)

    with closing(Lake(home / "a")) as lake:
        lake.transact(work)
        server.stop()
        starting = threading.Timer(3, server.start)
        starting.start()
        assert lake.query("SELECT path FROM pardons") == [("/v/a.mp4",)]  # waits until it is there again
        starting.join()
        lake.transact(lambda connection: connection.execute("DELETE FROM pardons"))


def test_a_server_that_stays_away_is_waited_for_once(
    server: PostgresServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moodreel.warehouse.lake.PATIENCE_S", 3.0)
    with closing(Lake(home / "a")) as lake:
        server.stop()
        try:
            waits = []
            for _ in range(2):
                started = time.monotonic()
                with pytest.raises(CatalogLostError, match="does not answer"):
                    lake.query("FROM pardons")
                waits.append(time.monotonic() - started)
        finally:
            server.start()
        assert waits[1] < 3.0 <= waits[0]
        assert lake.query("FROM pardons") == []


def test_a_commit_whose_answer_was_lost_is_not_done_again(server: PostgresServer, tmp_path: Path) -> None:
    database = server.new_database()
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # a socket's path has 107 characters at most
        way = server.way(Path(folder))
        words = f"dbname={database} host={folder} user=moodreel"
        with closing(way), closing(Lake(name_storage(tmp_path / "w", catalog=words))) as lake:
            num_snapshots = len(lake.query("FROM ducklake_snapshots('lake')"))
            way.lose_an_answer()
            rows = [{"path": "/v/a.mp4", "pardoned_at": datetime.now(UTC)}]
            lake.transact(lambda connection: append_rows(connection, "pardons", rows))
            assert way.has_lost.is_set()
            assert lake.query("SELECT path FROM pardons") == [("/v/a.mp4",)]
            assert len(lake.query("FROM ducklake_snapshots('lake')")) == num_snapshots + 1


@pytest.mark.parametrize(
    ("catalog", "says"),
    [
        ("dbname=nowhere", "is no warehouse"),
        ("dbname=postgres", "is no warehouse"),  # a database without a lake
    ],
)
def test_a_reader_makes_no_lake_and_says_what_is_wrong(
    server: PostgresServer, tmp_path: Path, catalog: str, says: str
) -> None:
    words = server.words("").replace("dbname=", catalog)
    with pytest.raises(WarehouseError, match=says) as told:
        open_reader(name_storage(tmp_path / "w", catalog=words))
    assert "\n" not in str(told.value)
    assert server.execute("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'ducklake%'") == "0"


def test_storage_that_changed_is_refused(server: PostgresServer, tmp_path: Path) -> None:
    words = server.words(server.new_database())
    Lake(name_storage(tmp_path / "first", catalog=words)).close()
    with pytest.raises(WarehouseError, match="does not match existing data path"):
        Lake(name_storage(tmp_path / "second", catalog=words))
    Lake(tmp_path / "files").close()
    name_storage(tmp_path / "files", catalog=words)
    for use in (Lake, open_reader):
        with pytest.raises(WarehouseError, match=r"has its tables in catalog\.sqlite"):
            use(tmp_path / "files")


DOCS = Path(__file__).parents[2] / "docs" / "storage.md"
ESCAPES = [
    "FROM __ducklake_metadata_lake.public.secret",
    "FROM __DUCKLAKE_metadata_lake.ducklake_table",
    "SUMMARIZE __ducklake_metadata_lake.public.secret",
    "SELECT (SELECT max(word) FROM __ducklake_metadata_lake.public.secret)",
    "FROM postgres_query('__ducklake_metadata_lake', 'SELECT * FROM secret')",
    "FROM postgres_scan('{words}', 'public', 'secret')",
    "FROM postgres_attach('{words}')",
    "CALL postgres_execute('__ducklake_metadata_lake', 'DROP TABLE secret')",
    "FROM pg_clear_cache()",
    "FROM postgres_configure_pool()",
    "FROM read_csv('/etc/passwd')",
    "COPY pardons TO '{home}/stolen.csv'",
    "ATTACH '{words}' AS other (TYPE postgres)",
]


@pytest.mark.slow
def test_a_reader_of_the_docs_reads_the_lake_and_nothing_else(server: PostgresServer, tmp_path: Path) -> None:
    database = server.new_database()
    with closing(Lake(name_storage(tmp_path / "w", catalog=server.words(database)))) as lake:
        server.execute("CREATE TABLE secret AS SELECT 'swordfish' AS word", database)
        [sql] = [block for block in re.findall(r"```sql\n(.*?)```", DOCS.read_text(), re.S) if "GRANT" in block]
        server.execute(sql, database)
        rows = [{"path": f"/v/{number}.mp4", "pardoned_at": datetime.now(UTC)} for number in range(30)]
        lake.transact(
            lambda connection: append_rows(connection, "pardons", rows[:5])
        )  # in a table younger than the role
        lake.transact(lambda connection: append_rows(connection, "pardons", rows[5:]))  # in a file
    words = server.words(database, "reader")
    reader = name_storage(tmp_path / "reader", catalog=words, data=f"{tmp_path}/w/data/")
    assert ask(reader, "SELECT count(*) AS n FROM pardons").to_pylist() == [{"n": 30}]
    for escape in ESCAPES:
        with pytest.raises(WarehouseError) as told:
            ask(reader, escape.format(words=words, home=tmp_path))
        assert "\n" not in str(told.value) and "swordfish" not in str(told.value)
    with closing(open_reader(tmp_path / "w")) as connection, pytest.raises(duckdb.Error, match="read-only"):
        connection.execute("CALL postgres_execute('__ducklake_metadata_lake', 'DROP TABLE ducklake_snapshot')")
    assert server.execute("SELECT count(*) FROM secret", database) == "1"


@pytest.fixture(scope="module")
def filled(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """A warehouse, a copy of its folder and a copy of its database to restore it from."""
    folder = tmp_path_factory.mktemp("erase")
    database = server.new_database()
    name_storage(folder / "w", catalog=server.words(database))
    fill(folder / "w")
    leave_strays(folder / "w" / "data")
    shutil.copytree(folder / "w", folder / "copy")
    return folder / "w", folder / "copy", database


@pytest.fixture
def lake(server: PostgresServer, filled: tuple[Path, Path, str]) -> Iterator[Lake]:
    """The warehouse as filled."""
    folder, copy, database = filled
    shutil.rmtree(folder)
    shutil.copytree(copy, folder)
    name_storage(folder, catalog=server.words(server.new_database(database)))
    opened = Lake(folder)
    yield opened
    opened.close()


@pytest.mark.slow
def test_upkeep_makes_few_files_and_measures_the_database(lake: Lake) -> None:
    before, faces = measure(lake), lake.query("SELECT * FROM faces ORDER BY ALL")
    keep_up(lake)
    after = measure(lake)
    assert lake.query("SELECT * FROM faces ORDER BY ALL") == faces
    assert after.num_snapshots == 1 < before.num_snapshots and after.num_files < before.num_files
    assert before.catalog_bytes > 100_000 and after.catalog_bytes > 100_000


def database_of(lake: Lake) -> str:
    assert lake.storage.postgres is not None
    return lake.storage.postgres.split()[0].removeprefix("dbname=")


@pytest.mark.parametrize("named", [ZOE, pytest.param(PERSON, marks=pytest.mark.slow)])
def test_what_is_erased_is_gone_from_the_database_too(server: PostgresServer, lake: Lake, named: str) -> None:
    database = database_of(lake)
    gone = [ZOE.encode(), PATHS[ZOE].encode()]
    if named == PERSON:
        gone = [b"f0f0 person 1", b"f0f0 person 1".hex().encode(), b"f0f0 person 1".hex().upper().encode()]
    server.execute("ANALYZE", database)  # the server samples values, as it does by itself now and then
    assert any(needle in server.content(database) for needle in gone)
    proof = erase(lake, find_target(lake, named))
    assert proof.num_data_files > 5 and proof.num_snapshots == 1 and proof.num_catalog_bytes > 100_000
    content = server.content(database).replace(PATHS[ZOE].encode() + b".mp4", b"")  # a longer name, which stays
    assert not [needle for needle in gone if needle in content] and BOB.encode() in content
    lake.close()
    with closing(Lake(lake.folder)) as again:
        assert again.query("SELECT count(*) FROM faces WHERE video_id = ? AND track_id = 1", [ZOE]) == [(0,)]
        assert again.query("SELECT count(*) FROM faces WHERE video_id = ?", [BOB]) == [(60,)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "left_out",
    [pytest.param(step, id=step.__name__) for step in STEPS if step is not empty_wal],  # which is a file's
)
@pytest.mark.parametrize("named", [pytest.param(ZOE, id="video"), pytest.param(PERSON, id="person")])
def test_the_proof_fails_if_a_step_is_left_out(lake: Lake, left_out: Step, named: str) -> None:
    target = find_target(lake, named)
    with pytest.raises((NotErasedError, duckdb.Error), match=r"left: |inlined-data"):
        erase(lake, target, [step for step in STEPS if step is not left_out])


@pytest.mark.slow
def test_a_session_that_reads_the_catalog_is_told_and_keeps_nothing(server: PostgresServer, lake: Lake) -> None:
    session = duckdb.connect()
    session.execute(f"LOAD postgres_scanner; ATTACH '{server.words(database_of(lake))}' AS other (TYPE postgres)")
    session.execute("BEGIN")
    session.execute("FROM other.public.ducklake_data_file").fetchall()
    target = find_target(lake, ZOE)
    with pytest.raises(NotErasedError, match="wait for its query to end"):
        erase(lake, target)
    session.execute("ROLLBACK")
    erase(lake, target)
