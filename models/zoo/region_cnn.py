"""The comparator R-CNN of the GAN-SGDMA paper: a CNN over regions of the face (after Girshick et al. 2013, 1311.2524).

The regions are proposed from landmarks: MTCNN's last stage, frozen, takes a 48 px face and gives the eyes, the nose and
the corners of the mouth. Eyes with brows, nose, mouth and the whole face each go through convolutions of their own, on
the plan of the comparator CNN; all their features together are classified.
"""

import torch
from facenet_pytorch.models.mtcnn import ONet
from torch import Tensor, nn
from torchvision.ops import roi_align

from moodreel.schemas.labels import NUM_LABELS

_FACE_PX = 48  # what the landmark network was trained on
_REGIONS_PX = ((16, 32), (16, 16), (16, 24))  # height and width that eyes, nose and mouth are cut to
_WIDTHS = (32, 64, 128)
_DENSE = 256
_MAP_PX = 3  # side of each last map
_MIN_EYE_DISTANCE = 0.25  # of the face's side; no face: the regions stay large enough to cut


def build(drop_rate: float = 0.0, debug: bool = False) -> nn.Module:
    """Return the untrained network around the trained landmarks: (n, 3, h, w) float32 RGB, h = w >= 32, to (n, 7)."""
    return _RegionCnn(drop_rate, shrink=4 if debug else 1)


def propose_regions(landmarks: Tensor) -> Tensor:
    """Return eyes with brows, nose and mouth as boxes.

    Args:
        landmarks: (n, 5, 2) float32 x and y of left eye, right eye, nose, left and right corner of the mouth, 0..1.

    Returns:
        (n, 3, 4) float32 x0, y0, x1, y1 in the same unit.
    """
    left, right, nose = landmarks[:, 0], landmarks[:, 1], landmarks[:, 2]
    unit = (right - left).norm(dim=1, keepdim=True).clamp_min(_MIN_EYE_DISTANCE)
    up = torch.cat([torch.zeros_like(unit), -unit], 1)
    boxes = []
    for centre, half_width, half_height in (
        ((left + right) / 2 + 0.15 * up, 1.0, 0.5),  # the brows are above the eyes
        (nose + 0.2 * up, 0.5, 0.5),
        ((landmarks[:, 3] + landmarks[:, 4]) / 2, 0.75, 0.5),
    ):
        half = torch.cat([half_width * unit, half_height * unit], 1)
        boxes.append(torch.cat([centre - half, centre + half], 1))
    return torch.stack(boxes, 1)


class _RegionCnn(nn.Module):
    def __init__(self, drop_rate: float, shrink: int) -> None:
        super().__init__()
        self.locator = _Landmarks()
        widths = [width // shrink for width in _WIDTHS]
        self.readers = nn.ModuleList(_convolutions(widths) for _ in range(1 + len(_REGIONS_PX)))
        self.classifier = nn.Sequential(
            nn.Linear(widths[-1] * _MAP_PX**2 * len(self.readers), _DENSE // shrink),
            nn.ReLU(),
            nn.Dropout(drop_rate),
            nn.Linear(_DENSE // shrink, NUM_LABELS),
        )

    def forward(self, images: Tensor) -> Tensor:
        boxes = propose_regions(self.locator(images)) * images.shape[-1]
        index = torch.arange(len(images), device=images.device).to(boxes.dtype).unsqueeze(1)
        views = [images]
        for region, size in enumerate(_REGIONS_PX):
            views.append(roi_align(images, torch.cat([index, boxes[:, region]], 1), size, aligned=True))
        features = torch.cat([reader(view) for reader, view in zip(self.readers, views, strict=True)], 1)
        logits: Tensor = self.classifier(features)
        return logits


class _Landmarks(nn.Module):
    """(n, 3, h, w) float32 RGB in -1..1 to (n, 5, 2) landmarks in 0..1; no part of what is trained or stored."""

    def __init__(self) -> None:
        super().__init__()
        self.network = ONet().eval()
        # as buffers its weights still move between devices, but no optimizer, unfreezing or state dict sees them
        for module in self.network.modules():
            for name, weight in list(module.named_parameters(recurse=False)):
                delattr(module, name)
                module.register_buffer(name, weight.detach(), persistent=False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        if not len(images):  # the library's network can't reshape nothing
            return images.new_zeros(0, 5, 2)
        side = (_FACE_PX, _FACE_PX)
        small = nn.functional.interpolate(images.float(), side, mode="bilinear", align_corners=False)
        with torch.autocast(images.device.type, enabled=False):
            points: Tensor = self.network(small * (127.5 / 128))[1]  # it knows pixels as (value - 127.5) / 128
        return points.view(-1, 2, 5).transpose(1, 2)


def _convolutions(widths: list[int]) -> nn.Module:
    layers: list[nn.Module] = []
    channels = 3
    for width in widths:
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(_MAP_PX), nn.Flatten())
