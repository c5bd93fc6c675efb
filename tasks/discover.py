"""Find the candidates in a folder and give each its content id."""

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blake3 import blake3

from moodreel.schemas.media import MEDIA_EXTENSIONS, SNIFF_BYTES, has_container_signature
from moodreel.schemas.reasons import Reason, VideoError
from moodreel.schemas.values import FileStamp, VideoFile
from moodreel.tasks.files import nameable, told_error

LOOKS_APART_S: Final = 2.0  # between two looks at a file that tell whether somebody is writing it


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a folder holds.

    Attributes:
        files: readable candidates, ordered by path.
        refused: (path, error) of candidates that may not or cannot be read.
        num_ignored: files that are no videos by name and by first bytes.
    """

    files: list[VideoFile]
    refused: list[tuple[str, VideoError]]
    num_ignored: int


def discover_videos(folder: Path, known: Mapping[tuple[str, FileStamp], str] | None = None) -> Discovery:
    """Walk a folder without following directory links.

    Args:
        folder: where to look, sub-folders too.
        known: content ids of earlier sightings, so that unchanged files are not read again.

    Raises:
        ValueError: the folder does not exist, is no folder or can't be listed.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder: name one that holds videos")
    root = folder.resolve()
    files: list[VideoFile] = []
    refused: list[tuple[str, VideoError]] = []
    num_ignored = 0

    def refuse(error: OSError) -> None:
        """Keep a folder that can't be listed as a row: what lies in it would else be missed in silence."""
        if Path(error.filename) == root:
            raise ValueError(f"{root} can't be listed: {error.strerror}") from error
        refused.append((nameable(error.filename), told_error(error.filename, error, "discover")))

    for path in _walk(root, refuse):
        try:
            if not _is_candidate(path, root):
                num_ignored += 1
                continue
            _refuse_odd_name(path)
            stamp = stamp_file(path)
            video_id = (known or {}).get((str(path), stamp)) or hash_file(path)
            files.append(VideoFile(str(path), stamp, video_id))
        except VideoError as error:
            refused.append((nameable(path), error))
    return Discovery(files, refused, num_ignored)


def stamp_file(path: Path) -> FileStamp:
    """Return size, time of change and inode.

    Raises:
        VideoError: VANISHED, PERMISSION_DENIED or READ_ERROR.
    """
    with _reading(path):
        status = path.stat()
    return FileStamp(status.st_size, status.st_mtime_ns, status.st_ino)


def hash_file(path: Path) -> str:
    """Return the BLAKE3 of a file's bytes, read in pieces.

    Raises:
        VideoError: VANISHED, PERMISSION_DENIED or READ_ERROR.
    """
    digest = blake3()
    with _reading(path), path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def check_unchanged(file: VideoFile) -> None:
    """Compare a file with its stamp, just before decoding and once more before its rows are committed.

    The run sees to it that at least `LOOKS_APART_S` lie between the stamp and the first comparison.

    Raises:
        VideoError: CHANGED, or what `stamp_file` raises.
    """
    if stamp_file(Path(file.path)) != file.stamp:
        raise VideoError(Reason.CHANGED, f"{file.path} is being written; the next night takes it", "discover")


def _refuse_odd_name(path: Path) -> None:
    named = nameable(path)
    if named != str(path):
        raise VideoError(Reason.BAD_NAME, f"{named}: the path is no UTF-8; rename the file", "discover")


def _walk(root: Path, on_error: Callable[[OSError], None]) -> Iterator[Path]:
    for folder, folders, names in os.walk(root, onerror=on_error):
        folders.sort()
        yield from (Path(folder, name) for name in sorted(names))
        # os.walk does not enter linked folders; those that leave the tree are refused aloud
        yield from (Path(folder, name) for name in folders if os.path.islink(Path(folder, name)))


def _is_candidate(path: Path, root: Path) -> bool:
    # realpath, since resolve() raises for a link that leads back to itself; islink, since is_symlink() raises for what
    # may not be looked at
    if os.path.islink(path) and not Path(os.path.realpath(path)).is_relative_to(root):
        if path.is_dir() or path.suffix.lower() in MEDIA_EXTENSIONS:
            raise VideoError(
                Reason.OUTSIDE_FOLDER,
                f"{nameable(path)} is a link that leaves the folder; not followed",
                "discover",
            )
        return False
    has_extension = path.suffix.lower() in MEDIA_EXTENSIONS
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a folder, socket or pipe, whatever its name says
            return False
        if has_extension:
            return True
        with path.open("rb") as file:
            return has_container_signature(file.read(SNIFF_BYTES))
    except OSError:
        return has_extension  # its failure gets its reason where the file is read in earnest


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise told_error(path, error, "discover") from error
