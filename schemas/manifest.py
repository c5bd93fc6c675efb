"""A model's manifest: weights are nothing without it."""

from typing import Annotated, Literal

from annotated_types import Ge, Len
from pydantic import BaseModel, ConfigDict, Field

from moodreel.schemas.labels import LABELS


class ImageInput(BaseModel):
    """How a stored crop becomes the network's input."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    side_px: Annotated[int, Ge(16)]
    source_px: Annotated[int, Ge(16)]  # crops are reduced to this first: the detail the network was trained on
    colour: Literal["grey", "rgb"]  # grey is repeated in all three channels
    margin: float  # of the face box's longer side, both sides together
    mean: float
    std: float


class Manifest(BaseModel):
    """What stands in `models/manifests/NAME.toml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: str
    task: Literal["face", "voice"]
    network: str
    weights: str  # file name under models/weights
    sha256: Annotated[str, Len(64, 64)]
    labels: tuple[str, ...] = Field(min_length=1)
    licence: str
    trained_on: str
    trained_with: str  # the command that made the weights
    input: ImageInput
    metrics: dict[str, float]
    measured_with: str  # the command that measured the metrics

    @property
    def model_id(self) -> str:
        """Name and content of the weights: another file of weights is another model."""
        return f"{self.name}-{self.sha256[:12]}"

    def output_order(self) -> list[int]:
        """Return for each of LABELS the place of its output.

        Raises:
            ValueError: the network's labels are not the seven.
        """
        if sorted(self.labels) != sorted(LABELS):
            raise ValueError(f"model {self.name} has the labels {', '.join(self.labels)}, not {', '.join(LABELS)}")
        return [self.labels.index(label) for label in LABELS]
