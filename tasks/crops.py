"""Cut a face out of its frame, with a margin, and keep its picture."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from moodreel.schemas.config import PictureConfig

_JPEG_QUALITY = 95
LOOK_PX = 10
LOOK_BYTES = LOOK_PX * LOOK_PX * 3


def cut_crop(rgb: NDArray[np.uint8], box: NDArray[np.float64], config: PictureConfig) -> bytes:
    """Return the square around a face as JPEG, at most `max_crop_px` wide, never enlarged.

    Beyond the frame's edge the outermost pixels are repeated.

    Args:
        rgb: (h, w, 3) uint8 frame.
        box: x0, y0, x1, y1 in px.
        config: margin and largest side.
    """
    side = max(2, round(max(box[2] - box[0], box[3] - box[1]) * (1 + config.crop_margin)))
    left = round((box[0] + box[2] - side) / 2)
    top = round((box[1] + box[3] - side) / 2)
    rows = np.clip(np.arange(top, top + side), 0, rgb.shape[0] - 1)
    columns = np.clip(np.arange(left, left + side), 0, rgb.shape[1] - 1)
    crop = Image.fromarray(rgb[rows[:, None], columns])
    if side > config.max_crop_px:
        crop = crop.resize((config.max_crop_px, config.max_crop_px), Image.Resampling.BOX)
    data = io.BytesIO()
    crop.save(data, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return data.getvalue()


def open_crop(image: bytes) -> Image.Image:
    """Decode a stored crop to RGB."""
    return Image.open(io.BytesIO(image)).convert("RGB")


def look_of(crop: Image.Image) -> bytes:
    """Return a thumbnail of 10 x 10 RGB bytes, by which a person is known again within one video."""
    return crop.resize((LOOK_PX, LOOK_PX), Image.Resampling.BOX).tobytes()
