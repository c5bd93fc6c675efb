"""A full disk, told apart from a video's own failure."""

from pathlib import Path
from typing import Final

_SIGNS: Final = ("no space left", "disk is full", "quota exceeded")  # as the system, SQLite and file servers put it
_REMEDY: Final = "make room and run again; what was committed stays"


class NoRoomError(RuntimeError):
    """The warehouse's disk is full, which is no video's fault: the run ends."""


def require_room(error: Exception, folder: Path) -> None:
    """Look at an error for signs of a full disk.

    Raises:
        NoRoomError: it has some.
    """
    if _is_full(error):
        raise NoRoomError(f"the disk of {folder} is full: {_REMEDY}") from error


def told_of_room(error: Exception) -> str | None:
    """Return the line about a full disk that an error comes down to; None if it does not."""
    if isinstance(error, NoRoomError):
        return str(error)
    return f"the disk is full: {_REMEDY}" if _is_full(error) else None


def _is_full(error: Exception) -> bool:
    return any(words in str(error).lower() for words in _SIGNS)
