"""A warehouse on a full disk, on one that can't be written, and one that somebody keeps locked."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from clips import make_clips
from commands import MOODREEL, moodreel
from lakes import assert_equal
from postgres import postgres_server
from storages import name_storage

from moodreel.flows.night import Night
from moodreel.flows.nightly import conduct_opened
from moodreel.flows.run import run_night
from moodreel.schemas.config import NightRequest
from moodreel.warehouse import lake
from moodreel.warehouse.ask import ask
from moodreel.warehouse.lake import CatalogLostError, Lake

OPTIONS = ("--no-audio", "--models", "small-vgg", "--workers")
RUN = f'"$0" run "$1" --warehouse "$2" {" ".join(OPTIONS)}'
# the second run has room; the whole warehouse is then brought to the same place outside of the mount
ON_A_SMALL_DISK = f"""
mount -t tmpfs -o size="$3" tmpfs "$2" || exit 99
{RUN} "$5" 2> "$4/first"; echo $? >> "$4/first"
mount -o remount,size=500m "$2"
{RUN} "$5" 2> "$4/second"; echo $? >> "$4/second"
cp -a "$2/." "$4/warehouse"
"""
RERUN_ON_A_SMALL_DISK = f"""
mount -t tmpfs -o size=500m tmpfs "$2" || exit 99
{RUN} 0; test $? = 3 || exit 98  # two of the clips are damaged
mount -o remount,size=$(($(du -sk "$2" | cut -f1) + 80))k "$2"
"$0" rerun --models gan-sgdma --warehouse "$2" 2> "$3/first"; echo $? >> "$3/first"
mount -o remount,size=500m "$2"
"$0" rerun --models gan-sgdma --warehouse "$2" 2> "$3/second"; echo $? >> "$3/second"
cp -a "$2/." "$3/warehouse"
"""
READ_ONLY = f"""
mount --bind "$2" "$2" && mount -o remount,ro,bind "$2" || exit 99
exec {RUN} 0
"""
HOLD_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


def in_own_mounts(script: str, *words: str | Path) -> "subprocess.CompletedProcess[str]":
    own = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    command = [*own, "sh", "-c", script, MOODREEL, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip("this system lets no test mount a folder")
    return done


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clips(
        tmp_path_factory.mktemp("clips"), left_out=("portrait.mp4", "speech.mp4", "mute.mp4", "damaged.ts")
    )


@pytest.fixture(scope="module")
def undisturbed(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    warehouse = tmp_path_factory.mktemp("undisturbed")
    assert night(videos, warehouse) == 2
    return warehouse


def night(videos: Path, warehouse: Path) -> int:
    request = NightRequest(folder=str(videos), warehouse=str(warehouse), workers=0, audio=False, models=("small-vgg",))
    return run_night(request).summary.counts.num_analysed


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    (tmp_path / "w").mkdir()
    return tmp_path / "w"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("size", "workers"), [("300k", "0"), ("600k", "0"), ("600k", "1")])
def test_a_full_disk_loses_nothing(
    videos: Path, undisturbed: Path, warehouse: Path, tmp_path: Path, size: str, workers: str
) -> None:
    in_own_mounts(ON_A_SMALL_DISK, videos, warehouse, size, tmp_path, workers)
    first, second = ((tmp_path / name).read_text().splitlines() for name in ("first", "second"))
    assert first[-1] == "1" and second[-1] in ("0", "3"), second
    assert "full" in first[-2] and not any("Traceback" in line for line in first)
    (tmp_path / "warehouse").rename(warehouse)
    assert_equal(undisturbed, warehouse)
    assert ask(warehouse, "SELECT 1 FROM failures WHERE retryable").num_rows == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_full_disk_ends_a_rerun_that_the_next_one_completes(videos: Path, warehouse: Path, tmp_path: Path) -> None:
    done = in_own_mounts(RERUN_ON_A_SMALL_DISK, videos, warehouse, tmp_path)
    assert done.returncode == 0, done.stderr
    first, second = ((tmp_path / name).read_text().splitlines() for name in ("first", "second"))
    assert (first[-1], second[-1]) == ("1", "0"), (first, second)
    assert "is full: make room" in first[-2] and not any("Traceback" in line for line in first)
    (tmp_path / "warehouse").rename(warehouse)
    counted = "SELECT split_part(model_id, '-', 1) AS model, count(*) AS n FROM face_emotions GROUP BY ALL ORDER BY ALL"
    [one, other] = ask(warehouse, counted).to_pylist()
    assert one["n"] == other["n"] > 0
    assert ask(warehouse, "SELECT 1 FROM failures WHERE stage = 'rerun'").num_rows == 0


def test_a_warehouse_that_cannot_be_written_is_one_clear_line(videos: Path, undisturbed: Path, warehouse: Path) -> None:
    Lake(warehouse).close()
    refused = in_own_mounts(READ_ONLY, videos, warehouse)
    assert refused.returncode == 2
    [line] = refused.stderr.splitlines()
    assert f"{warehouse} is no warehouse that can be written" in line
    assert night(videos, warehouse) == 2
    assert_equal(undisturbed, warehouse)


@pytest.mark.parametrize("by_prefect", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_catalog_that_is_gone_ends_the_night_and_blames_no_video(
    videos: Path, tmp_path: Path, prefect_home: Path, monkeypatch: pytest.MonkeyPatch, by_prefect: bool
) -> None:
    monkeypatch.setattr(lake, "PATIENCE_S", 1.0)
    with postgres_server() as server:
        folder = name_storage(tmp_path / "w", catalog=server.words(server.new_database()))
        request = NightRequest(folder=str(videos), warehouse=str(folder), workers=0, audio=False, models=("small-vgg",))
        with (
            pytest.raises(CatalogLostError, match=r"the PostgreSQL catalog of .* does not answer"),
            Night(request) as night,
        ):
            work = night.plan()
            server.stop()
            if by_prefect:
                conduct_opened(night, work)
            night.start_workers()
            night.analyse(work[0], attempt=1)
        assert night.tally.failed == {}
        server.start()
        assert ask(folder, "FROM failures").num_rows == 0
        assert run_night(request).summary.counts.num_analysed == 2


@pytest.fixture
def lock(warehouse: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another program that has the catalog locked until its standard input ends."""
    Lake(warehouse).close()
    command = [sys.executable, "-c", HOLD_LOCK, str(warehouse / "catalog.sqlite")]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "locked\n"
    yield holder
    holder.kill()
    holder.communicate()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_catalog_that_stays_locked_is_one_clear_line_and_nothing_is_lost(
    videos: Path, undisturbed: Path, warehouse: Path, lock: "subprocess.Popen[str]"
) -> None:
    refused = moodreel("run", videos, "--warehouse", warehouse, *OPTIONS, "0")
    assert refused.returncode == 1
    [line] = refused.stderr.splitlines()
    assert f"catalog.sqlite of {warehouse} stays locked" in line
    lock.communicate()
    assert night(videos, warehouse) == 2
    assert_equal(undisturbed, warehouse)
    assert ask(warehouse, "SELECT state FROM runs").to_pylist() == [{"state": "completed"}]
