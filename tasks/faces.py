"""Find faces with MTCNN (Zhang et al. 2016, arXiv 1604.02878) and facenet-pytorch's weights."""

import numpy as np
import torch
from facenet_pytorch import MTCNN
from numpy.typing import NDArray
from PIL import Image

from moodreel.schemas.config import PictureConfig
from moodreel.schemas.values import Faces

_SMALLEST_PX = 20  # of a face in the shrunk frame; MTCNN was trained to find these


class FaceDetector:
    """MTCNN on frames shrunk so that the smallest wanted face is still just found, loaded once.

    It takes one frame at a time: in a batch the same frame moves its boxes by 3e-5 px, and batching gains nothing on
    a CPU.
    """

    def __init__(self, config: PictureConfig) -> None:
        self.config = config
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._shrink = min(1.0, _SMALLEST_PX / config.min_face_px)
        smallest = min(_SMALLEST_PX, config.min_face_px)
        self._network = MTCNN(keep_all=True, min_face_size=smallest, post_process=False, device=device)

    def find(self, rgb: NDArray[np.uint8]) -> Faces:
        """Find the faces in a (h, w, 3) uint8 RGB frame."""
        height, width = rgb.shape[:2]
        size = (round(width * self._shrink), round(height * self._shrink))
        if min(size) < _SMALLEST_PX:  # MTCNN raises on a frame smaller than its smallest face
            return _no_faces()
        shrunk = rgb if size == (width, height) else Image.fromarray(rgb).resize(size, Image.Resampling.BILINEAR)
        boxes, scores, landmarks = self._network.detect(shrunk, landmarks=True)
        if boxes is None:
            return _no_faces()
        sure = scores >= self.config.min_score
        scale = np.array([width / size[0], height / size[1]])
        corners = (boxes[sure].reshape(-1, 2, 2).astype(np.float64) * scale).reshape(-1, 4).round(2)
        order = np.lexsort((corners[:, 1], corners[:, 0]))
        points = (landmarks[sure] * scale).astype(np.float32).round(2)
        return Faces(corners[order], scores[sure].astype(np.float32)[order], points[order])


def _no_faces() -> Faces:
    return Faces(np.zeros((0, 4)), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32))
