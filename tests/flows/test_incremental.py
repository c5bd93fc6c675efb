"""What a night does about files that it knows, that were touched, and that somebody is still writing."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import pytest
from clips import encode, numbered, portrait_clip

from moodreel.flows.night import Night
from moodreel.flows.run import RunReport, run_night
from moodreel.schemas.config import NightRequest
from moodreel.schemas.reasons import Reason, VideoError
from moodreel.warehouse.ask import ask


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "videos").mkdir()
    return tmp_path / "videos"


def request(folder: Path) -> NightRequest:
    warehouse = str(folder.parent / "w")
    return NightRequest(folder=str(folder), warehouse=warehouse, workers=0, audio=False, models=("small-vgg",))


def run(folder: Path) -> RunReport:
    return run_night(request(folder))


def asked(folder: Path, query: str) -> list[dict[str, object]]:
    return [dict(row) for row in ask(folder.parent / "w", query).to_pylist()]


def sightings(folder: Path) -> list[object]:
    return [row["file"] for row in asked(folder, "SELECT parse_filename(path) AS file FROM sightings ORDER BY seen_at")]


def analysed_skipped(report: RunReport) -> tuple[int, int]:
    counts = report.summary.counts
    assert counts.num_failed == 0
    return counts.num_analysed, counts.num_skipped


def test_a_night_with_nothing_new_writes_no_sighting_and_reads_no_file(folder: Path) -> None:
    clip = portrait_clip(folder / "a.mp4", seconds=1)
    assert analysed_skipped(run(folder)) == (1, 0)
    stamp = clip.stat()
    with clip.open("r+b") as file:  # other bytes under the same stamp: whoever reads them finds a new video
        file.seek(-4, os.SEEK_END)
        file.write(b"\0\1\2\3")
    os.utime(clip, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert analysed_skipped(run(folder)) == (0, 1)
    assert sightings(folder) == ["a.mp4"]


def test_a_changed_time_costs_a_hash_and_no_analysis(folder: Path) -> None:
    clip = portrait_clip(folder / "a.mp4", seconds=1)
    run(folder)
    os.utime(clip, ns=(1, 1))
    assert analysed_skipped(run(folder)) == (0, 1)
    assert sightings(folder) == ["a.mp4"] * 2
    assert asked(folder, "SELECT count(DISTINCT video_id) AS n FROM sightings") == [{"n": 1}]
    assert analysed_skipped(run(folder)) == (0, 1)
    assert sightings(folder) == ["a.mp4"] * 2


def test_the_newest_sighting_of_a_path_is_what_it_holds(folder: Path) -> None:
    portrait_clip(folder / "a.mp4", seconds=1)
    encode(folder / "b.ts", numbered(5), (Fraction(i, 5) for i in range(5)))
    run(folder)
    aside = folder.parent / "aside.mp4"
    os.rename(folder / "a.mp4", aside)
    os.link(folder / "b.ts", folder / "a.mp4")
    assert run(folder).summary.counts.num_analysed == 0
    os.replace(aside, folder / "a.mp4")  # back again with its inode and time
    assert run(folder).summary.counts.num_analysed == 0
    newest = (
        "SELECT arg_max(video_id, seen_at) AS now, min_by(video_id, seen_at) AS first, count(*) AS n FROM sightings"
    )
    [row] = asked(folder, f"{newest} WHERE parse_filename(path) = 'a.mp4'")
    assert (row["now"] == row["first"], row["n"]) == (True, 3)


def test_a_recent_time_alone_means_nothing(folder: Path) -> None:
    clip = portrait_clip(folder / "a.mp4", seconds=1)
    ahead = time.time_ns() + 3_600_000_000_000
    os.utime(clip, ns=(ahead, ahead))
    assert analysed_skipped(run(folder)) == (1, 0)


@contextmanager
def written_on(path: Path, pieces: Iterator[bytes], pause_s: float) -> Iterator[Callable[[], None]]:
    """Append to a file in a thread, piece by piece; yields what lets the writer finish at once."""
    hurry = threading.Event()

    def write() -> None:
        for piece in pieces:
            hurry.wait(pause_s)
            with path.open("ab") as file:
                file.write(piece)

    def finish() -> None:
        hurry.set()
        writer.join()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield finish
    finally:
        finish()


@pytest.fixture
def stream(tmp_path: Path) -> bytes:
    """A video of which any beginning is a video too."""
    path = encode(tmp_path / "whole.ts", numbered(20), (Fraction(i, 5) for i in range(20)), container="mpegts")
    return path.read_bytes()


def test_a_growing_file_is_left_for_the_next_night_and_said_so(folder: Path, stream: bytes) -> None:
    portrait_clip(folder / "a.mp4", seconds=1)
    growing, half = folder / "growing.ts", len(stream) // 376 * 188
    growing.write_bytes(stream[:half])
    pieces = (stream[start : start + 188] for start in range(half, len(stream), 188))
    with written_on(growing, pieces, pause_s=0.5) as finish:
        report = run(folder)
        finish()
    assert analysed_skipped(report) == (1, 1)
    [note] = report.notes
    assert "left for the next night" in note and str(growing) in note
    left = asked(folder, "SELECT reason, retryable FROM failures")
    assert left == [{"reason": "changed", "retryable": True}]
    assert analysed_skipped(run(folder)) == (1, 1)
    assert asked(folder, "SELECT count(*) AS n FROM open_failures") == [{"n": 0}]
    assert asked(folder, "SELECT max(size_bytes) AS n FROM videos WHERE path LIKE '%.ts'") == [{"n": len(stream)}]


def test_the_second_look_comes_two_seconds_after_the_first(folder: Path, stream: bytes) -> None:
    growing = folder / "growing.ts"
    growing.write_bytes(stream[: len(stream) // 376 * 188])
    with Night(request(folder)) as night:
        night.start_workers()  # so that nothing but the looks takes time
        [work] = night.plan()
        night._looked_at = looked_at = time.monotonic()  # as if planning took no time
        with written_on(growing, iter([bytes(188)]), pause_s=1.0), pytest.raises(VideoError) as caught:
            night.analyse(work, attempt=1)
        assert time.monotonic() - looked_at > 2
        assert caught.value.reason is Reason.CHANGED
        assert night.notes() and night.counts.num_skipped == 1
    [row] = asked(folder, "SELECT num_skipped, num_failed FROM runs")
    assert row == {"num_skipped": 1, "num_failed": 0}
