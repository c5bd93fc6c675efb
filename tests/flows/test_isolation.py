"""A video that cost a worker is tried again alone in a process, whatever the worker was."""

import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from clips import numbered, portrait_clip, write_clip
from killing import Run
from other_run import OtherRun
from ray._private.worker import global_worker
from waiting import wait_until

from moodreel.flows.night import Night
from moodreel.flows.run import RunReport, run_night
from moodreel.schemas.config import NightRequest
from moodreel.schemas.reasons import RETRY_TONIGHT, VideoError
from moodreel.tasks.discover import hash_file
from moodreel.warehouse.ask import ask
from moodreel.warehouse.lake import Lake
from moodreel.warehouse.records import pardon


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    portrait_clip(folder / "a.mp4", seconds=1)
    write_clip(folder / "b.mov", numbered(10), fps=10)
    return folder


def request(folder: Path, workers: int = 0, **isolation: int) -> NightRequest:
    return NightRequest.model_validate(
        {
            "folder": str(folder),
            "warehouse": str(folder.parent / "w"),
            "workers": workers,
            "audio": False,
            "models": ("small-vgg",),
            "isolation": isolation,
        }
    )


def die_with(folder: Path, name: str) -> None:
    """A run dies at work on a video."""
    with OtherRun(folder.parent / "w", hash_file(folder / name)) as run:
        run.kill()


def analysed_failed(report: RunReport) -> tuple[int, int]:
    return report.summary.counts.num_analysed, report.summary.counts.num_failed


def reasons(folder: Path) -> list[tuple[str, str]]:
    rows = ask(folder.parent / "w", "SELECT parse_filename(path) AS name, reason FROM failures ORDER BY failed_at")
    return [(row["name"], row["reason"]) for row in rows.to_pylist()]


@pytest.mark.slow
def test_a_video_that_a_run_died_with_fails_alone_until_it_is_pardoned(folder: Path) -> None:
    die_with(folder, "a.mp4")
    assert analysed_failed(run_night(request(folder, max_pixels=1))) == (1, 1)
    for _ in range(2):
        assert analysed_failed(run_night(request(folder, max_pixels=1))) == (0, 1)
    assert reasons(folder) == [("a.mp4", "over_limits")] * 3
    report = run_night(request(folder))
    assert analysed_failed(report) == (0, 0) and "1 not tried" in report.notes[0]
    with closing(Lake(folder.parent / "w")) as lake:
        pardon(lake, [(str(folder / "a.mp4"), hash_file(folder / "a.mp4"))])
    assert analysed_failed(run_night(request(folder))) == (1, 0)
    assert ask(folder.parent / "w", "SELECT 1 FROM open_failures").num_rows == 0


def test_a_healthy_night_starts_no_process(folder: Path) -> None:
    assert analysed_failed(run_night(request(folder, max_pixels=1))) == (2, 0)


def kill_in_the_picture(actor: psutil.Process, warehouse: Path) -> None:
    """Kill an actor that has given the first rows of its video."""
    wait_until(lambda: list((warehouse / "staging").glob("*/*/frames.*")), 200, "the picture has begun", look_s=0.05)
    actor.send_signal(signal.SIGSEGV)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_video_whose_actor_was_killed_is_tried_again_alone(folder: Path, prefect_home: Path) -> None:
    (folder / "b.mov").unlink()
    portrait_clip(folder / "a.mp4", seconds=120)
    with Night(request(folder, workers=1, cpu_s=1)) as night:
        [work] = night.plan()
        night.start_workers()
        [actor] = [p for p in psutil.Process().children(recursive=True) if "ray::Analyst" in p.name()]
        killer = threading.Thread(target=kill_in_the_picture, args=(actor, folder.parent / "w"))
        killer.start()
        with pytest.raises(VideoError) as first:
            night.analyse(work, attempt=1)
        killer.join()
        with pytest.raises(VideoError) as second:
            night.analyse(work, attempt=2)
        assert second.value.reason not in RETRY_TONIGHT
        [told] = Path(global_worker.node.get_logs_dir_path()).glob(f"worker-*-{actor.pid}.err")
        crash = told.read_text()
        assert "Fatal Python error: Segmentation fault" in crash
        assert "SIGSEGV received" not in crash  # Ray's own handler, which need not come to an end
    assert [first.value.reason, second.value.reason] == ["worker_lost", "killed_its_worker"]
    assert reasons(folder) == [("a.mp4", "worker_lost"), ("a.mp4", "killed_its_worker")]


@pytest.mark.slow
def test_a_run_that_crashes_in_native_code_dies_at_once() -> None:
    script = """
import os, signal
from moodreel.flows.workers import RayPool
from moodreel.schemas.config import AnalysisConfig

if __name__ == "__main__":
    RayPool(AnalysisConfig(sound=None, face_models=("small-vgg",)), 1)
    os.kill(os.getpid(), signal.SIGSEGV)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=200)
    assert run.returncode == -signal.SIGSEGV, run.stderr
    assert "Fatal Python error: Segmentation fault" in run.stderr
    assert "SIGSEGV received" not in run.stderr  # Ray's own handler


@pytest.mark.slow
def test_the_next_run_without_ray_tells_which_video_a_killed_one_was_at(folder: Path, tmp_path: Path) -> None:
    portrait_clip(folder / "a.mp4", seconds=60)  # it comes first and takes long
    run = Run(folder, tmp_path / "w", 0, tmp_path / "log", "--no-audio", "--models", "small-vgg")
    while run.stage() != "analysing":
        assert run.process.poll() is None, run.said()
        time.sleep(0.05)
    run.kill("flow")
    assert analysed_failed(run_night(request(folder, max_pixels=1))) == (1, 1)
    assert reasons(folder) == [("a.mp4", "over_limits")]
