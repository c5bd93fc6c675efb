"""What failed night after night is left alone, and tried again on request."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest
from clips import portrait_clip
from commands import moodreel
from rows import reader

from moodreel.flows.night import Night
from moodreel.flows.rerun import rerun_models
from moodreel.flows.run import run_night
from moodreel.schemas.config import NightRequest
from moodreel.schemas.reasons import LEFT, Reason, VideoError
from moodreel.schemas.values import FileStamp, Outcome, StepKey, StepResult, VideoFile, VideoInfo
from moodreel.tasks.discover import hash_file
from moodreel.warehouse.commit import commit_steps, commit_video
from moodreel.warehouse.lake import Lake
from moodreel.warehouse.records import (
    hopeless_contents,
    pardon,
    quarantined_contents,
    record_failure,
    record_sightings,
    start_run,
)

VERSION = version("moodreel")


def request(folder: Path) -> NightRequest:
    return NightRequest(
        folder=str(folder), warehouse=str(folder.parent / "w"), models=("small-vgg",), workers=0, audio=False
    )


def planned(folder: Path) -> tuple[list[str], list[str]]:
    """The names of the videos that a night would analyse, and its notes."""
    with Night(request(folder)) as night:
        return [Path(work.file.path).name for work in night.plan()], night.notes()


def fail(lake: Lake, run_id: str, path: Path | str, video_id: str | None, reason: Reason = Reason.TIMEOUT) -> None:
    record_failure(lake, run_id, str(path), video_id, VideoError(reason, f"{path} failed", "picture"), 1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "videos").mkdir()
    return tmp_path / "videos"


def test_a_path_that_fails_three_nights_is_skipped_until_it_is_pardoned(folder: Path) -> None:
    (folder / "gone.mp4").symlink_to(folder / "nowhere.mp4")
    for _ in range(3):
        counts = run_night(request(folder)).summary.counts
        assert (counts.num_failed, counts.num_skipped) == (1, 0)
    run = moodreel("run", folder, "--warehouse", folder.parent / "w", "--workers", "0", "--json")
    said = json.loads(run.stdout)
    assert (run.returncode, said["num_videos"], said["num_failed"], said["num_skipped"]) == (0, 1, 0, 1)
    assert "1 not tried" in run.stderr and "moodreel failures retry" in run.stderr
    assert "1 not tried" in moodreel("run", folder, "--warehouse", folder.parent / "w", "--workers", "0").stdout
    again = moodreel("failures", "retry", folder / "gone.mp4", "--warehouse", folder.parent / "w")
    assert (again.returncode, again.stdout) == (0, "1 to be tried again by the next run\n")
    assert run_night(request(folder)).summary.counts.num_failed == 1


@pytest.mark.slow
def test_a_video_that_failed_three_nights_is_analysed_after_a_pardon(folder: Path) -> None:
    clip = portrait_clip(folder / "a.mp4", seconds=1)
    video_id = hash_file(clip)
    lake = Lake(folder.parent / "w")
    for night in range(3):
        assert planned(folder) == (["a.mp4"], [])
        start_run(lake, f"r{night}", "nightly", "{}", "1")
        for _ in range(3):  # attempts of one night are one failed night
            fail(lake, f"r{night}", clip, video_id)
    work, [note] = planned(folder)
    assert work == [] and "1 not tried" in note
    assert moodreel("failures", "retry", "--all", "--warehouse", folder.parent / "w").stdout.startswith("1 to be")
    report = run_night(request(folder))
    assert (report.summary.counts.num_analysed, report.notes) == (1, [])
    listed = moodreel("failures", "--warehouse", folder.parent / "w", "--json")
    assert json.loads(listed.stdout) == {"failures": []}
    for night in range(3):
        start_run(lake, f"rerun {night}", "rerun", "{}", "1")
        fail(lake, f"rerun {night}", clip, video_id, Reason.CRASH)
    assert rerun_models(["gan-sgdma"], folder.parent / "w").counts.num_analysed == 0
    pardon(lake, [(str(clip), video_id)])
    assert rerun_models(["gan-sgdma"], folder.parent / "w").counts.num_analysed == 1
    lake.close()


@dataclass(frozen=True)
class Book:
    """A lake whose rows are made by hand."""

    lake: Lake

    def night(self, name: str, flow: str = "nightly") -> str:
        start_run(self.lake, name, flow, "{}", VERSION)
        return name

    def see(self, run_id: str, path: str, video_id: str, inode: int = 1) -> None:
        record_sightings(self.lake, run_id, [VideoFile(path, FileStamp(1, 1, inode), video_id)])

    def commit(self, run_id: str, video_id: str, model: str = "m") -> None:
        emotions = {"face_emotions": reader("face_emotions", [])}
        faces = StepResult(StepKey("faces", "c", None), Outcome.OK, None, {})
        step = StepResult(StepKey("face_emotions", "c", model), Outcome.OK, None, emotions)
        commit_steps(self.lake, run_id, video_id, [faces, step], 1.0)

    def open(self) -> list[tuple[object, ...]]:
        return self.lake.query(
            "SELECT coalesce(video_id, path), flow, num_nights, is_quarantined FROM open_failures ORDER BY ALL"
        )


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    lake = Lake(tmp_path)
    yield Book(lake)
    lake.close()


def test_every_reason_but_those_left_for_the_next_night_leads_to_quarantine(book: Book) -> None:
    for night in ("one", "two", "three"):
        book.night(night)
        for reason in Reason:
            book.see(night, f"/v/{reason}.mp4", reason.value)
            fail(book.lake, night, f"/v/{reason}.mp4", reason.value, reason)
        found = quarantined_contents(book.lake, "nightly")
        assert found == ({reason.value for reason in set(Reason) - LEFT} if night == "three" else set())


def test_a_later_commit_closes_what_failed_before_it(book: Book) -> None:
    for name in ("one", "two"):
        book.see(book.night(name), "/v/a.mp4", "a")
        fail(book.lake, name, "/v/a.mp4", "a")
    assert book.open() == [("a", "nightly", 2, False)]
    book.commit("two", "a")
    assert book.open() == []
    fail(book.lake, book.night("three"), "/v/a.mp4", "a")
    assert book.open() == [("a", "nightly", 1, False)]


def test_a_rerun_neither_closes_nor_counts_as_a_night(book: Book) -> None:
    book.see(book.night("one"), "/v/a.mp4", "a")
    fail(book.lake, "one", "/v/a.mp4", "a")
    for name in ("rerun 1", "rerun 2", "rerun 3"):
        fail(book.lake, book.night(name, "rerun"), "/v/a.mp4", "a", Reason.CRASH)
    assert book.open() == [("a", "nightly", 1, False), ("a", "rerun", 3, True)]
    assert quarantined_contents(book.lake, "nightly") == set()
    book.commit("rerun 3", "a")
    assert book.open() == [("a", "nightly", 1, False)]
    fail(book.lake, "rerun 3", "/v/a.mp4", "a", Reason.CRASH)
    book.commit("one", "a", model="other")  # a night's commit closes both
    assert book.open() == []


def test_other_bytes_close_what_the_old_ones_failed_at_unless_they_lie_elsewhere_too(book: Book) -> None:
    book.see(book.night("one"), "/v/a.mp4", "a")
    book.see("one", "/v/copy.mp4", "a", inode=2)
    fail(book.lake, "one", "/v/a.mp4", "a")
    book.see(book.night("two"), "/v/a.mp4", "b", inode=3)
    assert book.open() == [("a", "nightly", 1, False)]
    book.see("two", "/v/copy.mp4", "b", inode=3)
    assert book.open() == []


def test_a_path_that_can_be_read_again_is_closed(book: Book) -> None:
    book.see(book.night("one"), "/v/a.mp4", "a")
    fail(book.lake, book.night("two"), "/v/a.mp4", None, Reason.PERMISSION_DENIED)
    assert book.open() == [("/v/a.mp4", "nightly", 1, False)]
    book.see(book.night("three"), "/v/a.mp4", "a")  # the same bytes under the same stamp
    assert book.open() == []


def test_a_pardon_counts_anew_and_lifts_what_was_hopeless(book: Book) -> None:
    for name in ("one", "two", "three"):
        book.see(book.night(name), "/v/a.mp4", "a")
        fail(book.lake, name, "/v/a.mp4", "a", Reason.NO_FRAMES)
        fail(book.lake, name, "/v/link.mp4", None, Reason.OUTSIDE_FOLDER)
    assert hopeless_contents(book.lake, VERSION) == {"a", "/v/link.mp4"}
    pardon(book.lake, [("/v/a.mp4", "a")])
    assert hopeless_contents(book.lake, VERSION) == {"/v/link.mp4"}
    assert quarantined_contents(book.lake, "nightly") == {"/v/link.mp4"}
    assert ("a", "nightly", 3, False) in book.open()
    fail(book.lake, book.night("four"), "/v/a.mp4", "a", Reason.NO_FRAMES)
    assert hopeless_contents(book.lake, VERSION) == {"a", "/v/link.mp4"}
    assert hopeless_contents(book.lake, "another") == set()
    assert quarantined_contents(book.lake, "nightly") == {"/v/link.mp4"}


def test_a_commit_says_whether_anything_was_left_to_write(book: Book) -> None:
    step = StepResult(StepKey("faces", "c", None), Outcome.OK, None, {"frames": reader("frames", [])})
    file, info = VideoFile("/v/a.mp4", FileStamp(1, 1, 1), "a"), VideoInfo(2.0, 25.0, 160, 96, "h264", None, 0)
    said = [commit_video(book.lake, run_id, file, info, [step], 1.0) for run_id in ("one", "two")]
    assert said == [True, False]


def test_failures_lists_them_by_reason(tmp_path: Path, book: Book) -> None:
    for name in ("one", "two", "three"):
        book.see(book.night(name), "/v/a.mp4", "a")
        fail(book.lake, name, "/v/a.mp4", "a")
    book.see("three", "/v/b.mp4", "b")
    fail(book.lake, "three", "/v/b.mp4", "b")
    fail(book.lake, "three", "/v/text.mp4", None, Reason.OUTSIDE_FOLDER)
    rows = json.loads(moodreel("failures", "--warehouse", tmp_path, "--json").stdout)["failures"]
    kept = [(row["path"], row["reason"], row["is_quarantined"], row["is_hopeless"]) for row in rows]
    assert kept == [
        ("/v/text.mp4", "outside_folder", False, True),
        ("/v/a.mp4", "timeout", True, False),
        ("/v/b.mp4", "timeout", False, False),
    ]
    assert [(row["num_attempts"], row["num_nights"], row["message"]) for row in rows][1] == (3, 3, "/v/a.mp4 failed")
    text = moodreel("failures", "--warehouse", tmp_path).stdout
    order = [text.index(word) for word in ("outside_folder (1)", "/v/text.mp4", "timeout (2)", "/v/a.mp4", "/v/b.mp4")]
    assert order == sorted(order)
    assert "3 nights, 3 attempts" in text and "1 night, 1 attempt" in text and "3 open, 2 of them not tried" in text


def test_a_wrong_word_is_one_line_and_exit_2(tmp_path: Path, book: Book) -> None:
    for words, says in (
        (("failures", "--warehouse", tmp_path / "none"), "moodreel run FOLDER"),
        (("failures", "retry", "/v/x.mp4", "--warehouse", tmp_path), "no open failure of /v/x.mp4"),
        (("failures", "retry", "--warehouse", tmp_path), "--all"),
        (("failures", "--warehouse", tmp_path, "retry", "--all"), "belong after"),
    ):
        answer = moodreel(*words)
        assert (answer.returncode, answer.stdout, len(answer.stderr.splitlines())) == (2, "", 1)
        assert says in answer.stderr
    assert moodreel("failures", "--warehouse", tmp_path).stdout == "nothing has failed\n"
