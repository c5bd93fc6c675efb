"""Files on disks and shares that may fail: the operating system's errors as reasons."""

import errno
import io
import os
from pathlib import Path

from moodreel.schemas.reasons import Reason, VideoError


class WatchedFile(io.FileIO):
    """A file for FFmpeg to read, which remembers what kept it from reading: an error of the disk or share, or Ctrl-C.

    FFmpeg takes that for the end of the file or for damage, so a share's hiccup would pass for a broken video.

    Attributes:
        error: the first of its kind, None as long as there is none.
    """

    error: BaseException | None = None

    def read(self, size: int | None = -1) -> bytes:
        """Read as FileIO does; what can't be read ends the file for good."""
        if self.error is not None:
            return b""
        try:
            return super().read(-1 if size is None else size) or b""
        except BaseException as error:  # FFmpeg's callback would lose a KeyboardInterrupt
            self.error = error
            return b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Seek as FileIO does; -1 tells FFmpeg that it failed."""
        try:
            return super().seek(offset, whence)
        except BaseException as error:  # as above
            if not (isinstance(error, OSError) and error.errno == errno.EINVAL):  # where a damaged video leads to
                self.error = self.error or error
            return -1


def told_error(path: str | Path, error: OSError, stage: str) -> VideoError:
    """Return the operating system's error about a file or folder as the reason that it is."""
    name = nameable(path)
    match error:
        case FileNotFoundError():
            return VideoError(Reason.VANISHED, f"{name} went away during the run", stage)
        case PermissionError():
            return VideoError(Reason.PERMISSION_DENIED, f"{name} may not be read by this user", stage)
    return VideoError(Reason.READ_ERROR, f"{name}: {error.strerror}", stage)


def nameable(path: str | Path) -> str:
    r"""Return a path as text that can be printed and stored: bytes that are no UTF-8 as \xNN."""
    return os.fsencode(path).decode(errors="backslashreplace")
