import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from moodreel.schemas.reasons import Reason, VideoError
from moodreel.schemas.values import FileStamp
from moodreel.tasks.discover import check_unchanged, discover_videos, stamp_file

MP4_HEAD = b"\0\0\0\x18ftypmp42" + bytes(500)


def names(folder: Path) -> list[str]:
    return [os.path.basename(file.path) for file in discover_videos(folder).files]


def test_candidates_have_a_media_extension_or_a_containers_first_bytes(tmp_path: Path) -> None:
    (tmp_path / "Ä [b] 1.MP4").write_bytes(b"x")
    (tmp_path / "camera.bin").write_bytes(MP4_HEAD)
    (tmp_path / "clip").write_bytes(b"\x1aE\xdf\xa3" + bytes(500))
    (tmp_path / "stream.dat").write_bytes((b"\x47" + bytes(187)) * 3)
    (tmp_path / "song.mp3").write_bytes(b"ID3" + bytes(500))
    (tmp_path / "notes.txt").write_text("hello")
    found = discover_videos(tmp_path)
    assert names(tmp_path) == sorted(["Ä [b] 1.MP4", "camera.bin", "clip", "stream.dat"])
    assert found.num_ignored == 2


def test_the_id_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(MP4_HEAD)
    (tmp_path / "copy.mkv").write_bytes(MP4_HEAD)
    (tmp_path / "other.mp4").write_bytes(MP4_HEAD + b"x")
    a, copy, other = discover_videos(tmp_path).files
    assert a.video_id == copy.video_id != other.video_id
    assert len(a.video_id) == 64


def test_links_that_leave_the_folder_are_refused(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    outside.mkdir()
    folder.mkdir()
    (outside / "secret.mp4").write_bytes(MP4_HEAD)
    (folder / "own.mp4").write_bytes(MP4_HEAD)
    (folder / "link.mp4").symlink_to(outside / "secret.mp4")
    (folder / "sub").symlink_to(outside)
    (folder / "inside.mp4").symlink_to(folder / "own.mp4")
    found = discover_videos(folder)
    assert names(folder) == ["inside.mp4", "own.mp4"]
    assert [(os.path.basename(path), error.reason) for path, error in found.refused] == [
        ("link.mp4", Reason.OUTSIDE_FOLDER),
        ("sub", Reason.OUTSIDE_FOLDER),
    ]


def test_a_link_to_nothing_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    assert [error.reason for _, error in discover_videos(tmp_path).refused] == [Reason.VANISHED]


def test_odd_names_and_links_to_themselves_stop_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(MP4_HEAD)
    for name, content in ((b"Geb\xe4ude.mp4", MP4_HEAD), (b"Geb\xe4ude.txt", b"hello")):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(content)
    for link in ("loop.mp4", "loop.txt"):
        (tmp_path / link).symlink_to(tmp_path / link)
    found = discover_videos(tmp_path)
    assert (names(tmp_path), found.num_ignored) == (["a.mp4"], 2)
    told = {os.path.basename(path): error for path, error in found.refused}
    reasons = {name: error.reason for name, error in told.items()}
    assert reasons == {"Geb\\xe4ude.mp4": Reason.BAD_NAME, "loop.mp4": Reason.READ_ERROR}
    assert all(str(error).encode() for error in told.values()), "no table could hold it"


def test_a_folder_that_cannot_be_listed_is_told() -> None:
    """As a user whom permissions bind, since root lists everything; pytest's own folders are closed to others."""
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        root.chmod(0o755)
        (root / "camera").mkdir()
        (root / "camera" / "a.mp4").write_bytes(MP4_HEAD)
        (root / "b.mp4").write_bytes(MP4_HEAD)
        for mode, refused in ((0o100, root / "camera"), (0o644, root / "camera" / "a.mp4")):
            with unlistable(root / "camera", mode):
                found = discover_videos(root)
            assert [os.path.basename(file.path) for file in found.files] == ["b.mp4"]
            [(path, error)] = found.refused
            assert (path, error.reason) == (str(refused), Reason.PERMISSION_DENIED)
        with unlistable(root), pytest.raises(ValueError, match="can't be listed: Permission denied"):
            discover_videos(root)


@contextmanager
def unlistable(folder: Path, wanted: int = 0o100) -> Iterator[None]:
    user, mode = os.geteuid(), folder.stat().st_mode
    folder.chmod(wanted)
    if user == 0:
        os.chown(folder, 65534, -1)
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        folder.chmod(mode)


def test_a_pipe_is_ignored_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    found = discover_videos(tmp_path)
    assert (found.files, found.refused, found.num_ignored) == ([], [], 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(MP4_HEAD)
    (tmp_path / "a.mp4").chmod(0)
    assert [error.reason for _, error in discover_videos(tmp_path).refused] == [Reason.PERMISSION_DENIED]


def test_known_contents_are_not_read_again(tmp_path: Path) -> None:
    clip = tmp_path / "a.mp4"
    clip.write_bytes(MP4_HEAD)
    known = {(str(clip.resolve()), stamp_file(clip)): "f" * 64}
    assert discover_videos(tmp_path, known).files[0].video_id == "f" * 64
    os.utime(clip, ns=(1, 1))
    assert discover_videos(tmp_path, known).files[0].video_id != "f" * 64


@pytest.mark.parametrize(("change", "reason"), [("grow", Reason.CHANGED), ("vanish", Reason.VANISHED)])
def test_a_file_that_grows_or_vanishes_is_noticed(tmp_path: Path, change: str, reason: Reason) -> None:
    clip = tmp_path / "a.mp4"
    clip.write_bytes(MP4_HEAD)
    file = discover_videos(tmp_path).files[0]
    check_unchanged(file)
    if change == "grow":
        clip.write_bytes(MP4_HEAD * 2)
    else:
        clip.unlink()
    with pytest.raises(VideoError) as caught:
        check_unchanged(file)
    assert caught.value.reason is reason and caught.value.retryable


def test_no_such_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name one that holds videos"):
        discover_videos(tmp_path / "none")


def test_stamps_compare_by_value() -> None:
    assert FileStamp(1, 2, 3) == FileStamp(1, 2, 3) != FileStamp(1, 2, 4)
