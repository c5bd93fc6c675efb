"""Disks and shares that fail while a video is read: its descriptor is made to lead to a folder, which can't be read."""

import os
from fractions import Fraction
from pathlib import Path

import pytest
from clips import SPEECH, encode, numbered, write_clip

from moodreel.schemas.config import PictureConfig
from moodreel.schemas.reasons import RETRY_TONIGHT, Reason, VideoError
from moodreel.schemas.values import Segment
from moodreel.tasks.decode import sample_frames
from moodreel.tasks.files import WatchedFile
from moodreel.tasks.sound import stream_sound


def break_share(path: Path) -> None:
    """Let the next read of a file that this process has open fail in the operating system."""
    opened = [
        int(name) for name in os.listdir("/proc/self/fd") if os.path.realpath(f"/proc/self/fd/{name}") == str(path)
    ]
    assert opened, "nobody has it open"
    folder = os.open(path.parent, os.O_RDONLY)
    for descriptor in opened:
        os.dup2(folder, descriptor)
    os.close(folder)


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


def test_a_file_remembers_its_first_error_and_ends(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"0123456789")
    with WatchedFile(tmp_path / "a.bin") as file:
        assert (file.read(4), file.seek(8), file.read(4), file.error) == (b"0123", 8, b"89", None)
        break_share(tmp_path / "a.bin")
        assert file.seek(0) == 0 and file.read(4) == b""
        assert isinstance(file.error, IsADirectoryError)
        reading, writing = os.pipe()
        os.dup2(reading, file.fileno())
        assert file.seek(0) == -1, "a pipe has no places"
        assert isinstance(file.error, IsADirectoryError), "the first one is the cause"
        os.close(reading)
        os.close(writing)
