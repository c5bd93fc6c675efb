"""Runs that work at once on the same videos, as real processes: nothing twice, nothing lost, whole snapshots."""

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clips import numbered, portrait_clip, write_clip
from commands import MOODREEL
from lakes import assert_equal
from other_run import RUN_ID, OtherRun

from moodreel.flows.night import Night
from moodreel.flows.run import run_night
from moodreel.schemas.config import NightRequest
from moodreel.tasks.discover import hash_file
from moodreel.warehouse.ask import ask
from moodreel.warehouse.lake import Lake, open_reader
from moodreel.warehouse.leases import VIDEO, Leases

MODELS = ("small-vgg", "gan-sgdma")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips, and three in a folder below."""
    folder = tmp_path_factory.mktemp("videos")
    (folder / "below").mkdir()
    for number, name in enumerate(("a", "b", "below/c", "below/d")):
        portrait_clip(folder / f"{name}.mp4", seconds=1, fps=8 + number)
    write_clip(folder / "below" / "e.mov", numbered(10), fps=10)
    return folder


@pytest.fixture(scope="module")
def undisturbed(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    warehouse = tmp_path_factory.mktemp("undisturbed")
    assert night(videos, warehouse) == 5
    return warehouse


def night(folder: Path, warehouse: Path, models: tuple[str, ...] = MODELS) -> int:
    """One run in this process; how many videos it analysed."""
    request = NightRequest(folder=str(folder), warehouse=str(warehouse), models=models, workers=0, audio=False)
    return run_night(request).summary.counts.num_analysed


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts moodreel on the warehouse in tmp_path."""
    processes = []

    def one(*words: str | Path, models: tuple[str, ...] = MODELS) -> "subprocess.Popen[str]":
        command = [MOODREEL, *map(str, words), "--warehouse", str(tmp_path), "--models", ",".join(models), "--json"]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return processes[-1]

    yield one
    for process in processes:
        process.kill()
        process.wait()


def said(process: "subprocess.Popen[str]") -> dict[str, int]:
    out, err = process.communicate()
    assert process.returncode == 0, err
    answer: dict[str, int] = json.loads(out)
    return answer


class Reader(threading.Thread):
    """An analyst who asks all the time whether what is there is whole."""

    TORN = """
        SELECT count(*) FROM videos LEFT JOIN (
            SELECT video_id, count(*) AS num_rows FROM frames GROUP BY video_id
        ) USING (video_id)
        WHERE num_rows IS NULL
           OR (SELECT count(*) FROM steps WHERE steps.video_id = videos.video_id AND step = 'faces') <> 1
    """

    def __init__(self, warehouse: Path) -> None:
        super().__init__()
        Lake(warehouse).close()
        self.warehouse, self.is_over = warehouse, threading.Event()
        self.answers: list[int] = []

    def run(self) -> None:
        while not self.is_over.wait(0.05):
            connection = open_reader(self.warehouse)
            self.answers += [int(count) for (count,) in connection.execute(self.TORN).fetchall()]
            connection.close()

    def stop(self) -> None:
        self.is_over.set()
        self.join()
        assert self.answers and set(self.answers) == {0}


@pytest.mark.timeout(900)
@pytest.mark.slow
def test_two_runs_over_overlapping_folders_share_the_work(
    videos: Path, undisturbed: Path, tmp_path: Path, start: Start
) -> None:
    reader = Reader(tmp_path)
    reader.start()
    both = [start("run", folder, "--workers", "0", "--no-audio") for folder in (videos, videos / "below")]
    answers = [said(process) for process in both]
    reader.stop()
    assert sum(answer["num_analysed"] for answer in answers) == 5
    assert [answer["num_analysed"] + answer["num_skipped"] for answer in answers] == [5, 3]
    assert_equal(undisturbed, tmp_path)
    states = ask(tmp_path, "SELECT DISTINCT state FROM runs").to_pylist()
    assert states == [{"state": "completed"}]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_rerun_during_a_night_takes_nothing_twice(
    videos: Path, undisturbed: Path, tmp_path: Path, start: Start
) -> None:
    assert night(videos / "below", tmp_path, MODELS[:1]) == 3
    reader = Reader(tmp_path)
    reader.start()
    flows = [start("run", videos, "--workers", "0", "--no-audio"), start("rerun", models=MODELS[1:])]
    answers = [said(process) for process in flows]
    reader.stop()
    assert sum(answer["num_analysed"] for answer in answers) == 5
    assert_equal(undisturbed, tmp_path)


@pytest.mark.slow
def test_what_another_run_committed_since_the_plan_is_not_analysed_again(videos: Path, tmp_path: Path) -> None:
    request = NightRequest(folder=str(videos / "below"), warehouse=str(tmp_path), models=MODELS, workers=0, audio=False)
    with Night(request) as late:
        work = late.plan()
        assert night(videos / "below", tmp_path) == 3
        for item in work:
            late.analyse(item, attempt=1)  # no workers are started, so nothing can be analysed
        assert (late.counts.num_analysed, late.counts.num_skipped, late.counts.num_failed) == (0, 3, 0)


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_a_rerun_waits_for_a_video_that_another_run_holds(videos: Path, tmp_path: Path, start: Start) -> None:
    assert night(videos / "below", tmp_path, MODELS[:1]) == 3
    classified = f"SELECT count(*) AS n FROM steps WHERE model_id LIKE '{MODELS[1]}-%'"
    lake = Lake(tmp_path)
    with Leases(lake, "other") as other:
        assert other.take(VIDEO + hash_file(videos / "below" / "c.mp4"))  # the first one of the rerun
        rerun = start("rerun", models=MODELS[1:])
        assert rerun.stderr is not None
        assert any("waiting for 1 videos" in line for line in rerun.stderr)
        assert ask(tmp_path, classified).to_pylist() == [{"n": 2}] and rerun.poll() is None
    assert said(rerun)["num_analysed"] == 3
    lake.close()


@pytest.fixture
def other_run(videos: Path, tmp_path: Path) -> Iterator[OtherRun]:
    """Another run that is busy with a.mp4."""
    with OtherRun(tmp_path, hash_file(videos / "a.mp4")) as run:
        yield run


def state_of_other(warehouse: Path) -> object:
    [row] = ask(warehouse, f"SELECT state FROM run_health WHERE run_id = '{RUN_ID}'").to_pylist()
    return row["state"]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_video_whose_holder_dies_is_analysed_at_the_end(
    videos: Path,
    undisturbed: Path,
    tmp_path: Path,
    prefect_home: Path,
    start: Start,
    other_run: OtherRun,
    num_workers: int,
) -> None:
    process = start("run", videos, "--workers", str(num_workers), "--no-audio")
    assert process.stderr is not None
    told = []
    for line in process.stderr:
        told.append(line)
        if "waiting for 1 videos" in line:
            break
    assert any(line.startswith("4/5") for line in told) and process.poll() is None, "".join(told)
    missing = ask(tmp_path, "SELECT count(*) AS n FROM videos WHERE parse_filename(path) = 'a.mp4'").to_pylist()
    assert (missing, state_of_other(tmp_path)) == ([{"n": 0}], "running")
    other_run.kill()
    assert said(process)["num_analysed"] == 5
    assert_equal(undisturbed, tmp_path)


def test_the_next_run_closes_what_a_killed_one_left_and_nothing_of_a_living_one(
    videos: Path, tmp_path: Path, other_run: OtherRun
) -> None:
    (tmp_path / "empty").mkdir()
    night(tmp_path / "empty", tmp_path)
    staged = tmp_path / "staging" / RUN_ID / hash_file(videos / "a.mp4")
    assert state_of_other(tmp_path) == "running" and staged.is_dir()
    other_run.kill()
    night(tmp_path / "empty", tmp_path)
    assert state_of_other(tmp_path) == "crashed" and list((tmp_path / "staging").iterdir()) == []
