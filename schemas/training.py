"""A training run as one frozen value."""

from typing import Annotated

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, ConfigDict

Share = Annotated[float, Ge(0.0), Le(1.0)]


class Augmentation(BaseModel):
    """What is done to a training picture; each value is the largest change, drawn anew for every picture."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rotation_deg: float = 10.0
    shift_share: Share = 0.08  # of the picture's side
    zoom_share: Share = 0.15
    brightness_share: Share = 0.2
    flip_probability: Share = 0.5
    erase_probability: Share = 0.25


class TrainingConfig(BaseModel):
    """Everything that decides the outcome of a training run except the data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: str  # a name in models/networks.py
    input_px: Annotated[int, Ge(16)]
    source_px: Annotated[int, Ge(16)] = 48  # faces are reduced to this size before they are enlarged to input_px
    num_epochs: Annotated[int, Ge(1)]
    batch_size: Annotated[int, Ge(2)] = 64
    peak_rate: Annotated[float, Gt(0.0)]  # of the one-cycle schedule
    warm_share: Share = 0.25  # of all steps until the peak
    momentum: Share = 0.9
    weight_decay: float = 1e-4
    vote_share: Share = 0.3  # of the target that the FER+ votes give; the rest is the label
    drop_rate: Share = 0.2
    seed: int = 0
    augmentation: Augmentation = Augmentation()
