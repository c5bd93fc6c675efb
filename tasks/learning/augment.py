"""Random changes to a batch of training pictures; geometry and enlargement in one resampling."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from moodreel.schemas.training import Augmentation


def augment_faces(images: Tensor, side_px: int, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """Turn, shift, zoom, mirror, brighten and erase each picture by its own random amount.

    Args:
        images: (n, 1, h, w) float32 in 0..1.
        side_px: side of the result.
        settings: the largest changes.
        generator: where the randomness comes from.

    Returns:
        (n, 1, side, side) float32 in 0..1.
    """
    n = len(images)

    def spread(limit: float) -> Tensor:
        return (torch.rand(n, generator=generator) * 2 - 1) * limit

    angle = spread(math.radians(settings.rotation_deg))
    zoom = 1 + spread(settings.zoom_share)
    mirror = torch.where(torch.rand(n, generator=generator) < settings.flip_probability, -1.0, 1.0)
    shift_x, shift_y = spread(2 * settings.shift_share), spread(2 * settings.shift_share)  # the grid spans -1..1
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    matrix = torch.stack(
        [torch.stack([cos * mirror, -sin, shift_x], 1), torch.stack([sin * mirror, cos, shift_y], 1)], 1
    )
    grid = F.affine_grid(matrix, [n, 1, side_px, side_px], align_corners=False)
    moved = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)

    gain = (1 + spread(settings.brightness_share)).view(n, 1, 1, 1)
    lift = spread(settings.brightness_share / 2).view(n, 1, 1, 1)
    bright = ((moved - 0.5) * gain + 0.5 + lift).clamp(0, 1)
    return _erase(_crop_padded(bright, settings.crop_pad_px, generator), settings.erase_probability, generator)


def _crop_padded(images: Tensor, pad_px: int, generator: torch.Generator) -> Tensor:
    """Pad with black and cut the old size out at a random place."""
    if pad_px == 0:
        return images
    n, _, side, _ = images.shape
    padded = torch.nn.functional.pad(images, [pad_px] * 4)
    top, left = torch.randint(0, 2 * pad_px + 1, (2, n, 1), generator=generator).unbind()
    rows, columns = top + torch.arange(side), left + torch.arange(side)
    return padded[torch.arange(n).view(n, 1, 1), 0, rows.unsqueeze(2), columns.unsqueeze(1)].unsqueeze(1)


def _erase(images: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Paint a random rectangle of 10 to 40 % of the side in random grey (Zhong et al. 2017, arXiv 1708.04896)."""
    n, _, side, _ = images.shape
    chosen = torch.rand(n, generator=generator) < probability
    height, width = ((torch.rand(2, n, generator=generator) * 0.3 + 0.1) * side).unbind()
    top, left = torch.rand(2, n, generator=generator).unbind()
    top, left = top * (side - height), left * (side - width)
    rows = torch.arange(side).view(1, side)
    in_rows = (rows >= top.view(n, 1)) & (rows < (top + height).view(n, 1))
    in_columns = (rows >= left.view(n, 1)) & (rows < (left + width).view(n, 1))
    mask = in_rows.view(n, 1, side, 1) & in_columns.view(n, 1, 1, side) & chosen.view(n, 1, 1, 1)
    grey = torch.rand(n, generator=generator).view(n, 1, 1, 1)
    return torch.where(mask, grey, images)
