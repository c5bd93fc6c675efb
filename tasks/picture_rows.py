"""Frames and faces of a unit, held until they are given away as tables."""

import numpy as np
import pyarrow as pa

from moodreel.schemas.tables import TABLES
from moodreel.schemas.values import Faces, Part


class PictureRows:
    """Columns in the making: numbers of frames, faces and encoded crops."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._frames: list[tuple[float, float, float, int]] = []
        self._faces: list[Faces] = []
        self.crops: list[bytes] = []

    @property
    def num_frames(self) -> int:
        """Frames held."""
        return len(self._frames)

    @property
    def num_faces(self) -> int:
        """Faces held."""
        return len(self.crops)

    def add(self, ts_s: float, change: float, likeness: float, faces: Faces, crops: list[bytes]) -> None:
        """Hold a frame, what `compare_views` says of it, its faces and their crops."""
        self._frames.append((ts_s, change, likeness, len(faces)))
        self._faces.append(faces)
        self.crops.extend(crops)

    def frames_part(self) -> Part:
        """Give the frames, with what tells cuts."""
        kinds = {"ts_s": pa.float64(), "change": pa.float32(), "likeness": pa.float32(), "num_faces": pa.int64()}
        columns = [pa.array([row[i] for row in self._frames], kind) for i, kind in enumerate(kinds.values())]
        return Part("frames", pa.table(columns, names=list(kinds)))

    def faces_part(self, looks: list[bytes]) -> Part:
        """Give the faces with their crops, and the looks by which persons are known again."""
        boxes = np.concatenate([faces.boxes for faces in self._faces]) if self._faces else np.zeros((0, 4))
        scores = np.concatenate([f.scores for f in self._faces]) if self._faces else np.zeros(0, np.float32)
        points = [points.ravel() for faces in self._faces for points in faces.landmarks]
        times = [frame[0] for frame in self._frames for _ in range(frame[3])]
        schema = TABLES["faces"].schema
        table = pa.table(
            {
                "ts_s": pa.array(times, pa.float64()),
                **{corner: pa.array(boxes[:, i], pa.float64()) for i, corner in enumerate(("x0", "y0", "x1", "y1"))},
                "detection_score": pa.array(scores, pa.float32()),
                "landmarks": pa.array(points, schema.field("landmarks").type),
                "image": pa.array(self.crops, pa.binary()),
                "look": pa.array(looks, pa.binary()),
            }
        )
        return Part("faces", table)
