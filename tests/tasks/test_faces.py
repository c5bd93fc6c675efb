import io

import numpy as np
import pytest
from clips import portrait
from PIL import Image

from moodreel.schemas.config import PictureConfig
from moodreel.tasks.crops import cut_crop, look_of, open_crop
from moodreel.tasks.faces import FaceDetector


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector(PictureConfig())


def test_a_face_is_found_with_its_landmarks_in_pixels_of_the_frame(detector: FaceDetector) -> None:
    faces = detector.find(portrait())
    assert len(faces) == 1 and faces.scores[0] > 0.99
    x0, y0, x1, y1 = faces.boxes[0]
    # the astronaut's face, by looking at the picture
    assert 160 < x0 < 190 and 260 < x1 < 290 and 50 < y0 < 90 and 170 < y1 < 210
    left_eye, right_eye, nose, mouth_left, mouth_right = faces.landmarks[0]
    assert x0 < left_eye[0] < nose[0] < right_eye[0] < x1
    assert left_eye[1] < nose[1] < mouth_left[1] < y1 and mouth_left[0] < mouth_right[0]
    np.testing.assert_array_equal(faces.boxes, faces.boxes.round(2))


def test_shrinking_keeps_large_faces_in_place_and_loses_small_ones() -> None:
    whole, shrunk = FaceDetector(PictureConfig()), FaceDetector(PictureConfig(min_face_px=60))
    np.testing.assert_allclose(whole.find(portrait()).boxes, shrunk.find(portrait()).boxes, atol=8)
    small = np.asarray(Image.fromarray(portrait()).resize((160, 160)))
    assert len(whole.find(small)) == 1 and len(shrunk.find(small)) == 0


def test_two_faces_come_from_left_to_right(detector: FaceDetector) -> None:
    faces = detector.find(np.concatenate([portrait(), portrait()], axis=1))
    assert len(faces) == 2 and faces.boxes[0, 0] < 512 < faces.boxes[1, 0]


@pytest.mark.parametrize("size", [(1, 1), (15, 400), (64, 64), (400, 15)])
def test_frames_without_a_face_of_any_size(detector: FaceDetector, size: tuple[int, int]) -> None:
    assert len(detector.find(np.zeros((*size, 3), np.uint8))) == 0


def test_the_least_score_has_an_effect() -> None:
    frame = np.asarray(Image.fromarray(portrait()).resize((512, 512)).rotate(35))
    sure = FaceDetector(PictureConfig(min_score=1.0)).find(frame)
    unsure = FaceDetector(PictureConfig(min_score=0.5)).find(frame)
    assert len(sure) < len(unsure)


def test_a_crop_is_the_square_with_its_margin_and_repeats_the_edge() -> None:
    frame = np.zeros((100, 200, 3), np.uint8)
    frame[:, 100:] = 255
    crop = open_crop(cut_crop(frame, np.array([160.0, 0.0, 200.0, 80.0]), PictureConfig(crop_margin=0.5)))
    assert crop.size == (120, 120)  # 80 px and half as much again
    pixels = np.asarray(crop)
    # centred on x = 180: from 120 to 240, all white, 40 px of it beyond the frame
    assert pixels.min() > 250
    left = np.asarray(open_crop(cut_crop(frame, np.array([80.0, 10.0, 120.0, 50.0]), PictureConfig(crop_margin=0.0))))
    assert left[:, :18].max() < 10 and left[:, 22:].min() > 245


def test_margin_and_largest_side_have_an_effect() -> None:
    box = np.array([100.0, 100.0, 400.0, 400.0])
    sizes = [open_crop(cut_crop(portrait(), box, PictureConfig(max_crop_px=side))).width for side in (64, 160)]
    assert sizes == [64, 160]
    wide = open_crop(cut_crop(portrait(), box / 4, PictureConfig(crop_margin=1.0)))
    tight = open_crop(cut_crop(portrait(), box / 4, PictureConfig(crop_margin=0.0)))
    assert (wide.width, tight.width) == (150, 75)


def test_a_crop_is_a_jpeg_close_to_its_source() -> None:
    box = np.array([170.0, 60.0, 280.0, 200.0])
    data = cut_crop(portrait(), box, PictureConfig(crop_margin=0.0, max_crop_px=400))
    assert Image.open(io.BytesIO(data)).format == "JPEG"
    exact = portrait()[60:200, 155:295].astype(int)
    assert np.abs(np.asarray(open_crop(data)).astype(int) - exact).mean() < 2
    assert len(look_of(open_crop(data))) == 300
