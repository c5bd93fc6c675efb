"""The path of one video. READ THIS FIRST.

    discover  tasks/discover.py   candidates under a folder, content id
    plan      tasks/plan.py       what is wanted minus what is committed
    probe     VideoAnalyst.probe  streams, duration, rotation
    cut       tasks/units.py      the sound as one unit, the picture as segments
    analyse   VideoAnalyst.analyse, in an actor:
                picture: sampled frames -> MTCNN -> crops -> classifiers
                sound:   16 kHz mono -> speech activity -> openSMILE windows -> voice classifiers
    assemble  tasks/assemble.py   segments to one video: face numbers, persons, key columns
    commit    warehouse/commit.py one transaction a video

Pixels never leave the analyst: it gives small Arrow tables, piece by piece, so memory does not grow with length.
"""

import time
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from moodreel.schemas.config import AnalysisConfig
from moodreel.schemas.reasons import Reason, VideoError
from moodreel.schemas.values import Faces, Outcome, Part, Segment, Unit, UnitEnd, VideoFile, VideoInfo
from moodreel.tasks.acoustics import SoundAnalyst
from moodreel.tasks.container import probe_video
from moodreel.tasks.crops import cut_crop, look_of, open_crop
from moodreel.tasks.decode import sample_frames
from moodreel.tasks.discover import check_unchanged
from moodreel.tasks.emotions import EmotionClassifier, emotion_rows, feature_rows
from moodreel.tasks.faces import FaceDetector
from moodreel.tasks.persons import compare_views, view_of
from moodreel.tasks.picture_rows import PictureRows
from moodreel.tasks.sound import has_sound, stream_sound
from moodreel.tasks.voices import VoiceClassifier

_FACES_AT_ONCE = 64  # crops held before they are classified and given away
_FRAMES_AT_ONCE = 512
_SECONDS_AT_ONCE = 60.0  # of work on very large pictures, where a long silence would count as a hang


class VideoAnalyst:
    """All networks of a worker, loaded once by `setup`; then any number of videos."""

    def __init__(self, config: AnalysisConfig) -> None:
        self.config = config

    def setup(self) -> None:
        """Load detector, classifiers and sound tools."""
        torch.set_num_threads(1)  # MTCNN collapses to a fifth of its speed with two; parallelism comes from processes
        self._detector = FaceDetector(self.config.picture)
        self._classifiers = [EmotionClassifier(name) for name in self.config.face_models]
        self._sound = SoundAnalyst(self.config.sound) if self.config.sound else None
        self._voices = [VoiceClassifier(name) for name in self.config.voice_models] if self.config.sound else []

    def probe(self, file: VideoFile) -> VideoInfo:
        """Read a video's header.

        Raises:
            VideoError: the file is no readable video, or no longer the one that was planned.
        """
        check_unchanged(file)
        return probe_video(file.path)

    def analyse(self, unit: Unit) -> Iterator[Part | UnitEnd]:
        """Yield a unit's rows piece by piece and at last how it went.

        Raises:
            VideoError: nothing of the unit can be had.
        """
        try:
            check_unchanged(unit.file)
            yield from self._picture(unit.file, unit.segment) if unit.segment else self._hear(unit.file)
        except MemoryError as error:
            message = f"{unit.file.path}: the worker ran out of memory"
            raise VideoError(Reason.OUT_OF_MEMORY, message, "picture" if unit.segment else "sound") from error

    def _picture(self, file: VideoFile, segment: Segment) -> Iterator[Part | UnitEnd]:
        errors: list[str] = []
        rows = PictureRows()
        view: NDArray[np.float32] | None = None
        seen: NDArray[np.uint8] | None = None
        faces: Faces | None = None
        given_at = time.monotonic()
        for sample in sample_frames(file.path, self.config.picture, segment, errors):
            frame, before = sample.frame, view
            view = view_of(frame.rgb)
            if sample.is_context:
                continue
            # the same picture again (a still, black) has the same faces
            if faces is None or seen is None or not np.array_equal(frame.rgb, seen):
                faces, seen = self._detector.find(frame.rgb), frame.rgb
            change, likeness = compare_views(before, view) if before is not None else (0.0, 1.0)
            crops = [cut_crop(frame.rgb, box, self.config.picture) for box in faces.boxes]
            rows.add(frame.ts_s, change, likeness, faces, crops)
            is_late = time.monotonic() - given_at > _SECONDS_AT_ONCE
            if rows.num_faces >= _FACES_AT_ONCE or rows.num_frames >= _FRAMES_AT_ONCE or is_late:
                yield from self._give(rows)
                given_at = time.monotonic()
        yield from self._give(rows)
        yield UnitEnd(Outcome.BROKEN if errors else Outcome.OK, _first_of(errors))

    def _give(self, rows: PictureRows) -> Iterator[Part]:
        """Classify the held crops, give everything held as tables and start anew."""
        # classified as stored, so that a later run on the stored crops sees the same pixels
        crops = [open_crop(image) for image in rows.crops]
        yield rows.frames_part()
        yield rows.faces_part([look_of(crop) for crop in crops])
        for classifier in self._classifiers:
            manifest = classifier.manifest
            probabilities, features = classifier.classify(crops, self.config.picture.crop_margin)
            yield Part("face_emotions", emotion_rows(probabilities), manifest.model_id)
            if self.config.features and manifest.num_features:
                yield Part("face_features", feature_rows(features), manifest.model_id)
        rows.clear()

    def _hear(self, file: VideoFile) -> Iterator[Part | UnitEnd]:
        assert self._sound is not None
        if not has_sound(file.path):
            yield UnitEnd(Outcome.NONE)
            return
        errors: list[str] = []
        num_windows = num_silent = 0
        for table in self._sound.describe(stream_sound(file.path, errors)):
            num_windows += table.num_rows
            num_silent += table["level_dbfs"].null_count
            yield Part("audio_windows", table)
            for voice in self._voices:
                yield Part("voice_emotions", voice.rows(table), voice.manifest.model_id)
        if errors or num_windows == 0:
            yield UnitEnd(Outcome.BROKEN, _first_of(errors) or "the audio stream holds no sound that can be decoded")
        else:
            yield UnitEnd(Outcome.SILENT if num_silent == num_windows else Outcome.OK)


def _first_of(errors: list[str]) -> str | None:
    if not errors:
        return None
    return errors[0] if len(errors) == 1 else f"{errors[0]} (and {len(errors) - 1} more)"
