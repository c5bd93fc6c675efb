"""Disks and shares that fail while a video is read: its descriptor is made to lead to what can't be read."""

import multiprocessing
import os
import signal
import sys
import time
from fractions import Fraction
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
from clips import SPEECH, encode, numbered, write_clip

from moodreel.schemas.config import PictureConfig
from moodreel.schemas.reasons import RETRY_TONIGHT, Reason, VideoError
from moodreel.schemas.values import Segment
from moodreel.tasks.decode import sample_frames
from moodreel.tasks.files import WatchedFile
from moodreel.tasks.sound import stream_sound

_INTERRUPTED = 7


def lead_elsewhere(path: Path, elsewhere: int) -> None:
    """Let the descriptor of a file that this process has open be another one; closes that."""
    opened = [
        int(name) for name in os.listdir("/proc/self/fd") if os.path.realpath(f"/proc/self/fd/{name}") == str(path)
    ]
    assert opened, "nobody has it open"
    for descriptor in opened:
        os.dup2(elsewhere, descriptor)
    os.close(elsewhere)


def break_share(path: Path) -> None:
    """Let the next read fail in the operating system."""
    lead_elsewhere(path, os.open(path.parent, os.O_RDONLY))


def test_a_picture_that_breaks_off_for_a_read_error_is_tried_again(tmp_path: Path) -> None:
    clip = encode(tmp_path / "a.avi", numbered(250), [Fraction(i, 25) for i in range(250)], "mjpeg", "yuvj420p")
    errors: list[str] = []
    samples = sample_frames(str(clip), PictureConfig(), Segment(), errors)
    next(samples)
    break_share(clip)
    with pytest.raises(VideoError) as caught:
        list(samples)
    assert caught.value.reason is Reason.READ_ERROR and caught.value.reason in RETRY_TONIGHT
    assert caught.value.message == f"{clip}: Is a directory" and caught.value.stage == "picture"


def test_sound_that_breaks_off_for_a_read_error_is_tried_again(tmp_path: Path) -> None:
    clip = tmp_path / "a.mkv"
    write_clip(clip, numbered(50), sound=SPEECH)
    sound = stream_sound(str(clip), [])
    next(sound)
    break_share(clip)
    with pytest.raises(VideoError) as caught:
        list(sound)
    assert (caught.value.reason, caught.value.stage) == (Reason.READ_ERROR, "sound")


def _read_until_interrupted(clip: Path, silent: Path, is_reading: Event) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs lack
    samples = sample_frames(str(clip), PictureConfig(), Segment(), [])
    next(samples)
    lead_elsewhere(clip, os.open(silent, os.O_RDWR))
    is_reading.set()
    try:
        list(samples)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


def test_ctrl_c_while_a_read_waits_is_no_damage(tmp_path: Path) -> None:
    clip = encode(tmp_path / "a.avi", numbered(250), [Fraction(i, 25) for i in range(250)], "mjpeg", "yuvj420p")
    os.mkfifo(tmp_path / "silent")
    spawn = multiprocessing.get_context("spawn")
    is_reading = spawn.Event()
    child = spawn.Process(target=_read_until_interrupted, args=(clip, tmp_path / "silent", is_reading))
    child.start()
    try:
        assert is_reading.wait(60) and child.pid is not None
        time.sleep(1)
        os.kill(child.pid, signal.SIGINT)
        child.join(60)
        assert child.exitcode == _INTERRUPTED
    finally:
        child.kill()


def test_a_file_remembers_its_first_error_and_ends(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"0123456789")
    with WatchedFile(tmp_path / "a.bin") as file:
        assert (file.read(4), file.seek(8), file.read(4), file.error) == (b"0123", 8, b"89", None)
        file.seek(2**62)  # where a damaged index leads to: no file system reaches so far
        assert file.error is None
        break_share(tmp_path / "a.bin")
        assert file.seek(0) == 0 and file.read(4) == b""
        assert isinstance(file.error, IsADirectoryError)
        assert file.read(4) == b""
        reading, writing = os.pipe()
        os.dup2(reading, file.fileno())
        assert file.seek(0) == -1, "a pipe has no places"
        assert isinstance(file.error, IsADirectoryError), "the first one is the cause"
        os.close(reading)
        os.close(writing)
