"""Why a video failed: the one list of reasons, and the error that carries one."""

from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """A reason in `failures.reason`; the docs list them from here."""

    EMPTY_FILE = "empty_file"
    NOT_A_VIDEO = "not_a_video"
    NO_VIDEO_STREAM = "no_video_stream"
    NO_FRAMES = "no_frames"
    UNSUPPORTED_BY_DECODER = "unsupported_by_decoder"
    OUTSIDE_FOLDER = "outside_folder"
    PERMISSION_DENIED = "permission_denied"
    BAD_NAME = "bad_name"
    VANISHED = "vanished"
    CHANGED = "changed"
    READ_ERROR = "read_error"
    OUT_OF_MEMORY = "out_of_memory"
    WORKER_LOST = "worker_lost"
    KILLED_ITS_WORKER = "killed_its_worker"
    OVER_LIMITS = "over_limits"
    TIMEOUT = "timeout"
    CRASH = "crash"


MEANING: Final[dict[Reason, str]] = {
    Reason.EMPTY_FILE: "the file has no bytes",
    Reason.NOT_A_VIDEO: "no container that is read here, or one damaged beyond opening",
    Reason.NO_VIDEO_STREAM: "sound or subtitles without a moving picture",
    Reason.NO_FRAMES: "a video stream of which not one frame decodes",
    Reason.UNSUPPORTED_BY_DECODER: "the chosen decoder does not read this file, another may",
    Reason.OUTSIDE_FOLDER: "a symbolic link that leaves the folder",
    Reason.PERMISSION_DENIED: "the file may not be read by this user",
    Reason.BAD_NAME: "the file's path is no UTF-8, so that no table could hold it",
    Reason.VANISHED: "the file went away during the run",
    Reason.CHANGED: "the file grew or changed during the run",
    Reason.READ_ERROR: "the disk or network share gave an error",
    Reason.OUT_OF_MEMORY: "the worker ran out of memory",
    Reason.WORKER_LOST: "the worker process died",
    Reason.KILLED_ITS_WORKER: "its worker died, and so did a process for it alone, or that reached a limit",
    Reason.OVER_LIMITS: "its worker died, and it has more pixels or streams than such a video may have",
    Reason.TIMEOUT: "a piece of work took longer than its limit",
    Reason.CRASH: "an error of the program that nobody foresaw",
}

# Tried again within the night, since the cause may be gone a moment later.
RETRY_TONIGHT: Final = frozenset({Reason.READ_ERROR, Reason.OUT_OF_MEMORY, Reason.WORKER_LOST, Reason.TIMEOUT})
# Tried again by the next night; all others only when the bytes or the program's version change.
RETRY_NEXT_NIGHT: Final = RETRY_TONIGHT | {
    Reason.PERMISSION_DENIED,
    Reason.VANISHED,
    Reason.CHANGED,
    Reason.UNSUPPORTED_BY_DECODER,  # the next run may use the other one
    Reason.KILLED_ITS_WORKER,
    Reason.OVER_LIMITS,
    Reason.CRASH,  # nobody knows whether it comes again
}
# The attempt cost a worker: from then on the video is analysed in a process of its own.
COST_A_WORKER: Final = frozenset(
    {Reason.WORKER_LOST, Reason.OUT_OF_MEMORY, Reason.TIMEOUT, Reason.KILLED_ITS_WORKER, Reason.OVER_LIMITS}
)
# No failure of the video: somebody is still writing it. It counts as skipped, whenever that happens.
LEFT: Final = frozenset({Reason.CHANGED})


class VideoError(Exception):
    """One video can't be analysed; the night goes on.

    Attributes:
        reason: the entry of `Reason`.
        message: one line for a person.
        stage: where it happened: discover, probe, picture, sound or commit.
    """

    def __init__(self, reason: Reason, message: str, stage: str) -> None:
        super().__init__(reason, message, stage)  # positional, so that it survives pickling between processes
        self.reason = reason
        self.message = message
        self.stage = stage

    def __str__(self) -> str:
        return f"{self.reason.value}: {self.message}"

    @property
    def retryable(self) -> bool:
        """Whether a later night tries again with the same bytes."""
        return self.reason in RETRY_NEXT_NIGHT
