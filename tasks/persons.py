"""Faces to persons: ByteTrack within a shot, then tracks that show the same person are joined.

A hard cut ends all tracks (ByteTrack would hand one person's track to the next). A track that begins later belongs to
an earlier person who is not in the picture at the same time if it goes on where that one stopped, or looks the same.
"""

from dataclasses import dataclass

import numpy as np
import supervision as sv
from numpy.typing import NDArray
from PIL import Image
from trackers import ByteTrackTracker

from moodreel.tasks.crops import LOOK_BYTES

VIEW_PX = (32, 24)
# A cut: the picture changes by more than 8 grey levels on average, keeps little of its structure, and stands out among
# its neighbours: 8 times as much, or 3 times if it changes by more than 25, which no movement did. Between the speakers
# of the test interviews changes are 13 to 53 and 10 to 40 times their neighbours', sudden movements 9 to 19 and 3 to 7.
_CUT_CHANGE, _CUT_RATIO, _CUT_LIKENESS = 8.0, 8.0, 0.82
_BIG_CHANGE, _BIG_RATIO = 25.0, 3.0
_NEIGHBOURS = 5  # frames on each side
_GAP_S = 2.0  # how long a face may be lost and go on
_SAME_LOOK = 0.96  # correlation of two looks: the same person after a cut 0.99, two speakers up to 0.945
_LOOKS_KEPT = 8  # of each person
_PERSONS_COMPARED = 64  # the latest; bounds the work on days of passers-by


@dataclass(frozen=True, slots=True)
class VideoFaces:
    """All faces of a video, in the order of face_id.

    Attributes:
        ts_s: (f,) float64 times of the sampled frames.
        change: (f,) float32 mean absolute difference from the frame before, in grey levels.
        likeness: (f,) float32 correlation with the frame before.
        frame: (n,) int64 index of each face's frame.
        boxes: (n, 4) float64 px.
        scores: (n,) float32.
        looks: (n, 300) uint8 thumbnails.
    """

    ts_s: NDArray[np.float64]
    change: NDArray[np.float32]
    likeness: NDArray[np.float32]
    frame: NDArray[np.int64]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float32]
    looks: NDArray[np.uint8]

    def __post_init__(self) -> None:
        f, n = len(self.ts_s), len(self.frame)
        got = (self.change.shape, self.likeness.shape, self.boxes.shape, self.scores.shape, self.looks.shape)
        expected = ((f,), (f,), (n, 4), (n,), (n, LOOK_BYTES))
        if got != expected:
            raise ValueError(f"expected shapes {expected}, got {got}")


def view_of(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Shrink a frame to a (24, 32, 3) thumbnail, by which cuts are found."""
    return np.asarray(Image.fromarray(rgb).resize(VIEW_PX, Image.Resampling.BOX), np.float32)


def compare_views(before: NDArray[np.float32], after: NDArray[np.float32]) -> tuple[float, float]:
    """Return mean absolute difference in grey levels and correlation of two views; 1 for flat ones."""
    change = float(np.abs(before - after).mean())
    a, b = before.mean(2) - before.mean(), after.mean(2) - after.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    # a flat view has no structure: by convention it is unlike anything but another flat one
    likeness = float((a * b).sum()) / scale if scale > 1 else float(change < 1)
    return change, likeness


def find_cuts(change: NDArray[np.float32], likeness: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the frames with which a new shot begins (frame 0 is none of them)."""
    cuts = []
    for index in np.flatnonzero((change > _CUT_CHANGE) & (likeness < _CUT_LIKENESS)):
        if index == 0:
            continue
        first = max(1, index - _NEIGHBOURS)  # frame 0 has nothing before it to differ from
        around = np.concatenate([change[first:index], change[index + 1 : index + 1 + _NEIGHBOURS]])
        ratio = _BIG_RATIO if change[index] > _BIG_CHANGE else _CUT_RATIO
        if len(around) == 0 or change[index] > ratio * np.median(around):
            cuts.append(index)
    return np.array(cuts, np.int64)


def number_persons(faces: VideoFaces, sample_fps: float) -> NDArray[np.int64]:
    """Return (n,) track ids, numbered by first appearance; a face that no track claims is a person of its own."""
    shot = np.searchsorted(find_cuts(faces.change, faces.likeness), faces.frame, side="right")
    tracklets = _track(faces, shot, sample_fps)
    persons: list[_Person] = []
    owner = np.zeros(len(faces.frame), np.int64)
    for rows in tracklets:
        track = _Person(faces, rows, int(shot[rows[0]]))
        person = _same_person(track, persons)
        if person is None:
            persons.append(track)
            person = track
        else:
            person.extend(track)
        owner[rows] = id(person)
    _, first, number = np.unique(owner, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    return rank[number].astype(np.int64)


class _Person:
    """What is known of a person so far: in which frames, where last, and some looks."""

    def __init__(self, faces: VideoFaces, rows: NDArray[np.int64], shot: int) -> None:
        self.frames = set(faces.frame[rows].tolist())
        self.first_s, self.last_s = faces.ts_s[faces.frame[rows[[0, -1]]]]
        self.first_box, self.last_box = faces.boxes[rows[[0, -1]]]
        self.shot = shot
        kept = rows[np.linspace(0, len(rows) - 1, min(len(rows), _LOOKS_KEPT)).astype(int)]
        looks = faces.looks[kept].astype(np.float32)
        looks -= looks.mean(1, keepdims=True)
        self.looks = looks / np.maximum(np.linalg.norm(looks, axis=1, keepdims=True), 1e-6)

    def extend(self, later: "_Person") -> None:
        self.frames |= later.frames
        self.last_s, self.last_box, self.shot = later.last_s, later.last_box, later.shot
        self.looks = np.concatenate([self.looks, later.looks])[-2 * _LOOKS_KEPT :]

    def goes_on_in(self, later: "_Person") -> bool:
        """Whether the later track begins in the same shot, soon, and not further away than a face's width."""
        if later.shot != self.shot or not 0 < later.first_s - self.last_s <= _GAP_S:
            return False
        sizes = [box[2] - box[0] for box in (self.last_box, later.first_box)]
        apart = np.hypot(*((self.last_box[:2] + self.last_box[2:] - later.first_box[:2] - later.first_box[2:]) / 2))
        return bool(apart <= max(sizes) and max(sizes) <= 2 * min(sizes))

    def likeness(self, other: "_Person") -> float:
        return float((self.looks @ other.looks.T).max())


def _same_person(track: _Person, persons: list[_Person]) -> _Person | None:
    absent = [person for person in persons[-_PERSONS_COMPARED:] if person.frames.isdisjoint(track.frames)]
    going_on = [person for person in absent if person.goes_on_in(track)]
    candidates = going_on or [person for person in absent if person.likeness(track) >= _SAME_LOOK]
    return max(candidates, key=track.likeness, default=None)


def _track(faces: VideoFaces, shot: NDArray[np.int64], sample_fps: float) -> list[NDArray[np.int64]]:
    """Return ByteTrack's tracks as rows of faces, each unclaimed face as a track of one, ordered by beginning."""
    groups: dict[tuple[int, int], list[int]] = {}
    edges = np.searchsorted(faces.frame, np.arange(len(faces.ts_s) + 1))
    tracker, current = None, -1
    for frame in range(len(faces.ts_s)):
        rows = np.arange(edges[frame], edges[frame + 1])
        if len(rows) and shot[rows[0]] != current:
            tracker, current = None, int(shot[rows[0]])
        if tracker is None:
            if len(rows) == 0:
                continue
            # the buffer counts frames at 30 fps: a face may be lost for 2 s
            tracker = ByteTrackTracker(frame_rate=sample_fps, lost_track_buffer=int(_GAP_S * 30))
        found = sv.Detections(xyxy=faces.boxes[rows], confidence=faces.scores[rows], data={"row": rows})
        tracked = tracker.update(found, timestamp=float(faces.ts_s[frame]))
        for row, number in zip(tracked.data.get("row", []), tracked.tracker_id, strict=True):
            key = (current, int(number)) if number >= 0 else (-1, int(row))
            groups.setdefault(key, []).append(int(row))
    return sorted((np.array(sorted(rows)) for rows in groups.values()), key=lambda rows: int(rows[0]))
