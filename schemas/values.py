"""The values that travel between tasks and flows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What tells cheaply whether a file is still the one that was hashed."""

    size_bytes: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class VideoFile:
    """A candidate with its content id (64 hex digits of BLAKE3)."""

    path: str
    stamp: FileStamp
    video_id: str


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What probing tells; width and height are those of the upright picture."""

    duration_s: float | None
    fps: float | None
    width: int
    height: int
    video_codec: str
    audio_codec: str | None
    rotation_deg: int


@dataclass(frozen=True, slots=True)
class Frame:
    """A sampled frame: seconds since the first frame's presentation, (h, w, 3) uint8 RGB, upright."""

    ts_s: float
    rgb: NDArray[np.uint8]

    def __post_init__(self) -> None:
        if self.rgb.ndim != 3 or self.rgb.shape[2] != 3 or self.rgb.dtype != np.uint8:
            raise ValueError(f"expected (h, w, 3) uint8, got {self.rgb.shape} {self.rgb.dtype}")


@dataclass(frozen=True, slots=True)
class Faces:
    """The faces of one frame, ordered by x0, y0.

    Attributes:
        boxes: (n, 4) float64 x0, y0, x1, y1 in px of the upright frame, rounded to 0.01.
        scores: (n,) float32 in 0..1.
        landmarks: (n, 5, 2) float32 x, y in px: left eye, right eye, nose, mouth left, mouth right.
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float32]
    landmarks: NDArray[np.float32]

    def __post_init__(self) -> None:
        n = len(self.scores)
        if self.boxes.shape != (n, 4) or self.landmarks.shape != (n, 5, 2):
            raise ValueError(
                f"expected ({n}, 4) boxes, ({n}, 5, 2) landmarks; got {self.boxes.shape}, {self.landmarks.shape}"
            )

    def __len__(self) -> int:
        return len(self.scores)


class Outcome(StrEnum):
    """How a step ended, in `steps.outcome`."""

    OK = "ok"
    NONE = "none"  # the video has no such stream
    SILENT = "silent"  # a stream of digital silence
    BROKEN = "broken"  # a part could not be decoded; the rows are those of the rest


@dataclass(frozen=True, slots=True)
class Segment:
    """Sampling slots first <= k < end of a video's picture; end None means up to the last frame."""

    first_slot: int = 0
    end_slot: int | None = None


@dataclass(frozen=True, slots=True)
class Unit:
    """The work that an actor takes at once: a segment of the picture, or (segment None) the whole sound."""

    file: VideoFile
    segment: Segment | None


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of one unit for one table, numbered within the unit where the table has a face_id."""

    table: str
    rows: pa.Table
    model: str | None = None  # the model that made them, if the table has a model_id


@dataclass(frozen=True, slots=True)
class UnitEnd:
    """The last thing a unit gives: how it went, with a line for a person where something broke."""

    outcome: Outcome
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class StepKey:
    """What the resume record is keyed by, beside the video."""

    step: str
    config_id: str
    model_id: str | None


# a step: the one of the same settings whose rows its own rows refer to
RESTS_ON: Final = {"face_emotions": "faces", "face_features": "faces", "voice_emotions": "audio_windows"}


@dataclass(frozen=True, slots=True)
class StepResult:
    """A finished step of a video.

    Attributes:
        key: which step.
        outcome: how it went.
        detail: what broke, for a person.
        tables: per table of the lake a function that gives its rows anew, so that a commit can be repeated.
    """

    key: StepKey
    outcome: Outcome
    detail: str | None
    tables: Mapping[str, Callable[[], pa.RecordBatchReader]]


@dataclass(frozen=True, slots=True)
class RunCounts:
    """Candidates of a run by fate."""

    num_analysed: int
    num_skipped: int
    num_failed: int
    num_ignored: int

    @property
    def num_videos(self) -> int:
        """All candidates; ignored files are none."""
        return self.num_analysed + self.num_skipped + self.num_failed
