"""A small sample of `make torture`, and that it would notice what it is there for."""

import random
import shutil
from contextlib import closing
from pathlib import Path

import pytest
from clips import make_clips
from killing import draw_moments
from lakes import assert_equal
from rows import reader
from torture import Torture

from moodreel.schemas.reasons import Reason, VideoError
from moodreel.schemas.values import FileStamp, Outcome, StepKey, StepResult, VideoFile, VideoInfo
from moodreel.warehouse.commit import commit_video
from moodreel.warehouse.lake import Lake
from moodreel.warehouse.records import record_failure, record_sightings


@pytest.fixture(scope="module")
def few_clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clips(tmp_path_factory.mktemp("clips"), left_out=("portrait.mp4", "speech.mp4", "mute.mp4", "half.mp4"))


@pytest.mark.timeout(900)
def test_killed_nights_end_as_an_undisturbed_one(few_clips: Path, tmp_path: Path) -> None:
    tally = Torture(few_clips, tmp_path / "scratch", workers=0, seed=1).go(num_kills=2, kills_each=2)
    assert tally.differences == []
    assert tally.hits.total() == 2 and tally.num_compared >= 1


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_nights_with_ray_end_as_an_undisturbed_one(few_clips: Path, tmp_path: Path, prefect_home: Path) -> None:
    tally = Torture(few_clips, tmp_path / "scratch", workers=1, seed=1).go(num_kills=5, kills_each=2)
    assert tally.differences == []
    assert {target for target, _ in tally.hits} >= {"flow", "everything"}


def test_moments_are_spread_over_the_run_and_its_commits() -> None:
    moments = draw_moments(30, ["flow", "actor"], 10.0, [0.1, 0.2], random.Random(2))
    times = sorted(moment.seconds for moment in moments if moment.commit is None)
    assert [int(seconds / 0.5) for seconds in times] == list(range(20))
    in_commits = [moment for moment in moments if moment.commit is not None]
    assert [moment.commit for moment in in_commits].count(1) == 5
    assert [moment.is_written for moment in in_commits].count(True) == 5
    assert all(moment.seconds <= (0.1, 0.2)[(moment.commit or 1) - 1] for moment in in_commits)


def fill(folder: Path) -> None:
    """Make a warehouse with an analysed video and one that failed for good."""
    lake = Lake(folder)
    frames = [{"video_id": "a", "config_id": "c", "ts_s": i / 5, "num_faces": 0} for i in range(12)]
    step = StepResult(StepKey("faces", "c", None), Outcome.OK, None, {"frames": reader("frames", frames)})
    file, info = VideoFile("/v/a.mp4", FileStamp(10, 20, 30), "a"), VideoInfo(2.0, 5.0, 16, 16, "h264", None, 0)
    record_sightings(lake, folder.name, [file])
    commit_video(lake, folder.name, file, info, [step], 1.0)
    record_failure(lake, folder.name, "/v/b.mp4", "b", VideoError(Reason.NO_FRAMES, "b", "picture"), 1)
    lake.close()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two warehouses, filled alike, and a copy to restore the second one from."""
    folder = tmp_path_factory.mktemp("lakes")
    for name in ("whole", "other"):
        fill(folder / name)
    shutil.copytree(folder / "other", folder / "copy")
    return folder


@pytest.fixture
def whole(filled: Path) -> Path:
    return filled / "whole"


@pytest.fixture
def other(filled: Path) -> Path:
    """The second one as filled."""
    shutil.rmtree(filled / "other")
    shutil.copytree(filled / "copy", filled / "other")
    return filled / "other"


def test_attempts_are_no_difference(whole: Path, other: Path) -> None:
    with closing(Lake(other)) as lake:
        record_failure(lake, "r", "/v/a.mp4", "a", VideoError(Reason.WORKER_LOST, "a", "picture"), 1)
    assert_equal(whole, other)


@pytest.mark.parametrize(
    "harm",
    [
        "DELETE FROM frames WHERE ts_s > 2",
        "INSERT INTO frames FROM frames WHERE ts_s > 2",
        "UPDATE frames SET num_faces = 1 WHERE ts_s > 2",
        "DELETE FROM steps",
        "INSERT INTO steps FROM steps",
        "DELETE FROM sightings",
        "DELETE FROM failures",
        "INSERT INTO failures FROM failures",
        "INSERT INTO videos FROM videos",
    ],
)
def test_whatever_is_lost_doubled_or_changed_is_a_difference(whole: Path, other: Path, harm: str) -> None:
    with closing(Lake(other)) as lake:
        lake.transact(lambda connection: connection.execute(harm))
    with pytest.raises(AssertionError):
        assert_equal(whole, other)
