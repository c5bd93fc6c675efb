"""Models on what is stored of videos: the same classifiers as in `video`, on rows of the warehouse."""

import pyarrow as pa

from moodreel.schemas.config import PictureConfig
from moodreel.tasks.crops import open_crop
from moodreel.tasks.emotions import EmotionClassifier, emotion_rows


class StoredFaces:
    """A face model on stored crops."""

    def __init__(self, name: str) -> None:
        self._classifier = EmotionClassifier(name)
        self._margin = PictureConfig().crop_margin  # no request changes it

    def rows(self, faces: pa.Table) -> pa.Table:
        """Return rows of `face_emotions`, without the other key columns, for `face_id, ts_s, track_id, image`."""
        crops = [open_crop(image) for image in faces["image"].to_pylist()]
        found = emotion_rows(self._classifier.probabilities(crops, self._margin))
        for name in ("face_id", "ts_s", "track_id"):
            found = found.append_column(name, faces[name])
        return found


class StoredVoices:
    """A voice model on stored features."""

    def __init__(self, name: str) -> None:
        from moodreel.tasks.voices import VoiceClassifier  # it brings torch, which faces do without

        self._voice = VoiceClassifier(name)

    def rows(self, windows: pa.Table) -> pa.Table:
        """Return rows of `voice_emotions`, without the other key columns, for `window_id, speech_share, features`."""
        return self._voice.rows(windows)
