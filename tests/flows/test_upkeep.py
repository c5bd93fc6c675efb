"""Upkeep beside runs, and erasures that no later night undoes: real warehouses, real clips, real processes."""

import json
import shutil
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from bench_upkeep import fill
from clips import portrait_clip
from commands import moodreel
from other_run import OtherRun

from moodreel.flows.run import run_night
from moodreel.flows.upkeep import erase_subject, maintain_warehouse
from moodreel.schemas.config import NightRequest
from moodreel.warehouse.ask import ask
from moodreel.warehouse.erase import STEPS
from moodreel.warehouse.lake import Lake, WarehouseError
from moodreel.warehouse.target import find_target, read_intent, write_intent

NOW = timedelta(0)


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of two clips and a copy of one, and a warehouse of their night."""
    folder = tmp_path_factory.mktemp("upkeep")
    videos = folder / "videos"
    videos.mkdir()
    portrait_clip(videos / "a.mp4", 1)
    portrait_clip(videos / "b.mp4", 2)
    shutil.copy(videos / "a.mp4", videos / "copy.mp4")
    night(folder / "warehouse", videos)
    shutil.copytree(folder / "warehouse", folder / "kept")
    return folder / "warehouse", videos


@pytest.fixture
def warehouse(analysed: tuple[Path, Path]) -> Path:
    """The warehouse as after its night: the lake keeps its absolute place."""
    warehouse, _ = analysed
    shutil.rmtree(warehouse)
    shutil.copytree(warehouse.with_name("kept"), warehouse)
    return warehouse


def night(warehouse: Path, videos: Path, sample_fps: float = 5.0) -> tuple[int, int]:
    """Run a night; return how many videos it analysed and how many it skipped."""
    request = NightRequest(
        folder=str(videos),
        warehouse=str(warehouse),
        workers=0,
        audio=False,
        sample_fps=sample_fps,
        models=("small-vgg",),
    )
    counts = run_night(request).summary.counts
    assert counts.num_failed == 0
    return counts.num_analysed, counts.num_skipped


def asked(warehouse: Path, query: str) -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in ask(warehouse, query).to_pylist()]


def test_maintain_shrinks_and_tells_it_as_json(warehouse: Path) -> None:
    rows = "SELECT (SELECT count(*) FROM faces), (SELECT count(*) FROM steps), (SELECT count(*) FROM sightings)"
    before = asked(warehouse, rows)
    run = moodreel("maintain", "--warehouse", warehouse, "--keep-snapshots-days", "0", "--json")
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    assert said["after"]["num_snapshots"] == 1 < said["before"]["num_snapshots"]
    # files of the last day may be in a query's hands: they stay until a later maintain
    assert said["after"]["num_files"] > said["before"]["num_files"]
    assert said["waiting"] is None and asked(warehouse, rows) == before
    report = maintain_warehouse(warehouse, None, 0, NOW)
    assert report.after.num_files < said["after"]["num_files"] and asked(warehouse, rows) == before


def test_no_file_goes_while_a_run_is_on(warehouse: Path) -> None:
    stray = warehouse / "data" / "main" / "frames" / "stray.parquet"
    stray.write_bytes(b"of the run's open transaction")
    files = set((warehouse / "data").rglob("*.parquet"))
    with OtherRun(warehouse):
        report = maintain_warehouse(warehouse, 0, 0, NOW)
        assert report.waiting is not None and "a run or other upkeep is on" in report.waiting
        assert files <= set((warehouse / "data").rglob("*.parquet"))
        assert report.num_old_crops > 0 and report.after.num_snapshots < report.before.num_snapshots
        with pytest.raises(WarehouseError, match="erase when it is over"):
            erase_subject(warehouse, str(warehouse))
    assert maintain_warehouse(warehouse, None, 0, NOW).waiting is None
    assert not stray.exists()


@pytest.mark.slow
def test_a_run_leaves_few_files_of_what_the_views_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where another run is on or it can't be done, that run or a later one does it."""
    videos, warehouse = tmp_path / "videos", tmp_path / "w"
    videos.mkdir()
    fill(warehouse, num_rows=20_000)

    def num_files() -> int:
        with closing(Lake(warehouse)) as lake:
            return len(lake.query("FROM ducklake_list_files('lake', 'face_tallies')"))

    told = asked(warehouse, "FROM person_emotions ORDER BY ALL")
    assert num_files() == 4
    night(warehouse, videos)
    assert num_files() == 4  # too few to be worth a transaction
    monkeypatch.setattr("moodreel.warehouse.upkeep.MANY_FILES", 3)
    with OtherRun(warehouse):
        night(warehouse, videos)
        assert num_files() == 4
    one, *_ = (warehouse / "data" / "main" / "face_tallies").rglob("*.parquet")
    one.rename(tmp_path / "lost")
    night(warehouse, videos)
    assert "small until the next run" in caplog.text and num_files() == 4
    assert asked(warehouse, "SELECT state FROM runs ORDER BY started_at DESC LIMIT 1") == [("completed",)]
    (tmp_path / "lost").rename(one)
    night(warehouse, videos)
    assert num_files() == 1 and asked(warehouse, "FROM person_emotions ORDER BY ALL") == told and told


def test_old_crops_leave_the_disk(warehouse: Path) -> None:
    assert asked(warehouse, "SELECT count(*) > 0 FROM crops") == [(True,)]
    report = maintain_warehouse(warehouse, 0, 0, NOW)
    assert report.num_old_crops > 0 and asked(warehouse, "SELECT count(*) FROM crops") == [(0,)]
    assert list((warehouse / "data" / "main" / "crops").glob("*.parquet")) == []
    assert asked(warehouse, "SELECT count(*) > 0 FROM face_emotions") == [(True,)]


def test_an_erased_video_does_not_come_back(warehouse: Path, analysed: tuple[Path, Path]) -> None:
    _, videos = analysed
    (found,) = asked(warehouse, f"SELECT video_id FROM videos WHERE path = '{videos / 'a.mp4'}'")
    run = moodreel("erase", videos / "copy.mp4", "--warehouse", warehouse, "--json")
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    assert (said["scope"], said["video_id"]) == ("video", found[0]) and said["proof"]["num_snapshots"] == 1
    # both its files, and that under other settings
    assert night(warehouse, videos) == (0, 3)
    assert night(warehouse, videos, sample_fps=4.0) == (1, 2)
    for table in ("videos", "sightings", "steps", "frames"):
        assert asked(warehouse, f"SELECT count(*) FROM {table} WHERE video_id = '{found[0]}'") == [(0,)]
    assert asked(warehouse, "SELECT DISTINCT path FROM sightings") == [(str(videos / "b.mp4"),)]


def test_an_erased_person_does_not_come_back(warehouse: Path, analysed: tuple[Path, Path]) -> None:
    _, videos = analysed
    (found,) = asked(warehouse, f"SELECT video_id FROM videos WHERE path = '{videos / 'b.mp4'}'")
    erase_subject(warehouse, f"{found[0]}:0")
    person = f"SELECT count(*) FROM person_emotions WHERE video_id = '{found[0]}' AND track_id = 0"
    assert asked(warehouse, person) == [(0,)]
    assert night(warehouse, videos) == (0, 3)
    assert night(warehouse, videos, sample_fps=4.0) == (1, 2)
    assert asked(warehouse, person) == [(0,)]
    told = f"SELECT num_faces, num_people FROM video_emotions WHERE video_id = '{found[0]}'"
    assert asked(warehouse, told) == [(0, 0)]


@pytest.mark.parametrize("named", ["a.mp4", pytest.param("b.mp4", marks=pytest.mark.slow)])
def test_an_erasure_cut_short_is_finished_by_the_next(
    warehouse: Path, analysed: tuple[Path, Path], named: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The next one may be for something else."""
    _, videos = analysed
    with closing(Lake(warehouse)) as lake:
        target = find_target(lake, str(videos / "a.mp4"))
        write_intent(lake.folder, target)
        for step in STEPS[:4]:
            step(lake, target)
    maintain_warehouse(warehouse, None, 7)
    assert "finish it with `moodreel erase" in caplog.text
    assert erase_subject(warehouse, str(videos / named)).erased == str(videos / named)
    assert "which was cut short" in caplog.text and read_intent(warehouse) is None
    left = asked(warehouse, "SELECT path FROM videos")
    assert left == ([(str(videos / "b.mp4"),)] if named == "a.mp4" else [])


def test_no_warehouse_says_what_to_do_and_makes_none(tmp_path: Path) -> None:
    for command in (["maintain"], ["erase", "x"]):
        run = moodreel(*command, "--warehouse", tmp_path / "none")
        assert run.returncode == 2 and "moodreel run FOLDER" in run.stderr and len(run.stderr.splitlines()) == 1
    assert not (tmp_path / "none").exists()
