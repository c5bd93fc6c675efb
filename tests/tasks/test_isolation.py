"""A video alone in a process: the same rows, and limits and deaths that are its failure and nobody else's."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil
import pytest
from clips import SPEECH, encode, portrait_clip

from moodreel.schemas.config import AnalysisConfig, Isolation
from moodreel.schemas.reasons import Reason, VideoError
from moodreel.schemas.values import Segment, Unit, VideoFile
from moodreel.tasks.discover import discover_videos
from moodreel.tasks.isolation import IsolatedAnalyst
from moodreel.tasks.video import VideoAnalyst

CONFIG = AnalysisConfig(face_models=("small-vgg",))
PIECE_TIMEOUT_S = 250.0


def file_in(folder: Path) -> VideoFile:
    [file] = discover_videos(folder).files
    return file


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Callable[..., IsolatedAnalyst]]:
    """Starts a process under limits."""
    started = []

    def start(piece_timeout_s: float = PIECE_TIMEOUT_S, **limits: int) -> IsolatedAnalyst:
        started.append(IsolatedAnalyst(CONFIG, Isolation(**limits), piece_timeout_s))
        return started[-1]

    yield start
    for analyst in started:
        analyst.close()


def children() -> list[psutil.Process]:
    return [one for one in psutil.Process().children() if "moodreel.tasks.isolation" in one.cmdline()]


def failure(analyst: IsolatedAnalyst, file: VideoFile) -> VideoError:
    with pytest.raises(VideoError) as caught:
        list(analyst.analyse(Unit(file, Segment())))
    return caught.value


@pytest.mark.slow
def test_rows_are_those_of_any_worker(tmp_path: Path) -> None:
    portrait_clip(tmp_path / "a.mp4", seconds=1, sound=SPEECH)
    file, analyst = file_in(tmp_path), VideoAnalyst(CONFIG)
    analyst.setup()
    with closing(IsolatedAnalyst(CONFIG, Isolation(), PIECE_TIMEOUT_S)) as other:
        assert other.probe(file) == analyst.probe(file)
        for unit in (Unit(file, None), Unit(file, Segment())):
            assert list(other.analyse(unit)) == list(analyst.analyse(unit))


def test_what_the_worker_says_of_a_bad_video_is_said(tmp_path: Path, alone: Callable[..., IsolatedAnalyst]) -> None:
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(VideoError) as caught:
        alone().probe(file_in(tmp_path))
    assert (caught.value.reason, caught.value.stage) == (Reason.NOT_A_VIDEO, "probe")


@pytest.mark.parametrize("limits", [{"max_pixels": 320 * 320 - 1}, {"max_streams": 1}])
def test_too_many_pixels_or_streams_are_refused_by_probe(
    tmp_path: Path, alone: Callable[..., IsolatedAnalyst], limits: dict[str, int]
) -> None:
    portrait_clip(tmp_path / "a.mp4", seconds=1, sound=SPEECH)
    with pytest.raises(VideoError) as caught:
        alone(**limits).probe(file_in(tmp_path))
    assert (caught.value.reason, caught.value.stage) == (Reason.OVER_LIMITS, "probe")
    assert str(next(iter(limits.values()))) in caught.value.message
    assert alone(max_pixels=320 * 320, max_streams=2).probe(file_in(tmp_path)).width == 320


@pytest.mark.slow
def test_a_video_that_exhausts_its_memory_fails_alone(tmp_path: Path, alone: Callable[..., IsolatedAnalyst]) -> None:
    white = np.full((3000, 4000, 3), 255, np.uint8)  # 36 MB a frame
    encode(tmp_path / "a.mp4", [white] * 3, [Fraction(i, 5) for i in range(3)], options={"preset": "ultrafast"})
    file = file_in(tmp_path)
    assert failure(alone(memory_mb=32), file).reason in (Reason.OUT_OF_MEMORY, Reason.KILLED_ITS_WORKER)
    assert list(alone().analyse(Unit(file, Segment())))


@pytest.mark.slow
def test_a_video_that_takes_too_much_processor_time_fails(
    tmp_path: Path, alone: Callable[..., IsolatedAnalyst]
) -> None:
    portrait_clip(tmp_path / "a.mp4", seconds=60)
    found = failure(alone(cpu_s=1), file_in(tmp_path))
    assert found.reason is Reason.KILLED_ITS_WORKER and "more than 1 s of processor time" in found.message


def test_a_silent_process_is_given_up(tmp_path: Path, alone: Callable[..., IsolatedAnalyst]) -> None:
    portrait_clip(tmp_path / "a.mp4", seconds=1)
    assert failure(alone(piece_timeout_s=0.01), file_in(tmp_path)).reason is Reason.TIMEOUT


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_a_process_that_dies_is_the_videos_failure(
    tmp_path: Path, alone: Callable[..., IsolatedAnalyst], number: signal.Signals
) -> None:
    portrait_clip(tmp_path / "a.mp4", seconds=1)
    analyst = alone()
    analyst.probe(file_in(tmp_path))
    [child] = children()
    killer = threading.Timer(0.5, os.kill, (child.pid, number))
    killer.start()
    found = failure(analyst, file_in(tmp_path))
    killer.join()
    assert found.reason is Reason.KILLED_ITS_WORKER and number.name in found.message
    assert found.retryable


def test_close_ends_the_process(alone: Callable[..., IsolatedAnalyst]) -> None:
    analyst = alone()
    [child] = children()
    analyst.close()
    assert not child.is_running()
