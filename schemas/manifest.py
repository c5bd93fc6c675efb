"""A model's manifest: weights are nothing without it."""

import hashlib
from typing import Annotated, Literal, Self

from annotated_types import Ge, Gt, Le, Len
from pydantic import BaseModel, ConfigDict, model_validator

from moodreel.schemas.labels import LABELS

Share = Annotated[float, Ge(0.0), Le(1.0)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ImageInput(_Frozen):
    """How a stored crop becomes the network's input."""

    side_px: Annotated[int, Ge(16)]
    source_px: Annotated[int, Ge(16)]  # crops are reduced to this first: the detail the network was trained on
    colour: Literal["grey", "rgb"]  # grey is repeated in all three channels
    margin: float  # of the face box's longer side, both sides together
    mean: float
    std: float


class VectorInput(_Frozen):
    """What the vectors are that a network takes: mean and spread of each deep feature over some frames of a face."""

    length: Annotated[int, Ge(1)]  # the means, then as many spreads
    source: str  # model_id of the frame classifier whose features they are
    num_frames: Annotated[int, Ge(1)]  # that a vector was made of in training


class SoundInput(_Frozen):
    """What a voice classifier takes: openSMILE's features of a window of sound that holds enough speech.

    The network standardises them itself: mean and spread of each feature are the tensors `centre` and `scale` of its
    weights.
    """

    feature_set: Literal["IS10"]
    length: Annotated[int, Ge(1)]
    window_s: Annotated[float, Gt(0.0)]
    min_speech_share: Share  # windows with less get no verdict
    standardised_over: Annotated[int, Ge(1)]  # windows whose mean and spread they are


class MfccInput(_Frozen):
    """What a network of MFCCs takes: those of one stretch of a clip."""

    num_coefficients: Annotated[int, Ge(1)]
    offset_s: Annotated[float, Ge(0.0)]
    length_s: Annotated[float, Gt(0.0)]


class TrainingRun(_Frozen):
    """One of the runs that made the weights, each from where the one before ended."""

    command: str
    epochs: Annotated[int, Ge(1)]
    hours: Annotated[float, Ge(0.0)]  # of wall time
    machine: str


class ClassScores(_Frozen):
    """How one expression is recognised."""

    precision: Share
    recall: Share
    f1: Share


class Denoising(_Frozen):
    """What a denoiser makes of noisy pictures, against the clean ones; pixels in -1..1, so the peak is 2."""

    noisy_psnr_db: float
    denoised_psnr_db: float


class Manifest(_Frozen):
    """What stands in `models/manifests/NAME.toml`."""

    name: str
    version: str
    task: Literal["face", "voice"]
    network: str
    structure: str | None = None  # of the network in a sentence: what its name leaves open, its widths say
    weights: str  # file name under models/weights
    sha256: Annotated[str, Len(64, 64)]
    labels: tuple[str, ...]  # in the order of the outputs
    temperature: Annotated[float, Gt(0.0)] = 1.0  # divides the logits, so that probabilities say how often they hold
    num_features: Annotated[int, Ge(1)] | None = None  # deep features that --features stores; None: it has none
    licence: str
    trained_on: str
    input: ImageInput | VectorInput | SoundInput | MfccInput
    metrics: dict[str, float]
    measured_with: str  # the command that measured the metrics
    known_failings: tuple[str, ...] = ()  # beside those that per_class shows
    training: tuple[TrainingRun, ...] = ()  # in order
    per_class: dict[str, ClassScores] = {}  # by label, measured with the metrics
    speakers: tuple[str, ...] = ()  # whom a voice model learnt from, each with the corpus before the name
    denoising: dict[str, Denoising] = {}  # by the standard deviation of the noise

    @property
    def model_id(self) -> str:
        """Name, and digest of all that decides the probabilities: another temperature is another model."""
        parts = (self.sha256, self.network, self.labels, self.temperature, self.input.model_dump_json())
        return f"{self.name}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}"

    @property
    def reliability(self) -> dict[str, float]:
        """By label, how often the model is right when it says so, as measured; empty if that is not known."""
        return {label: scores.precision for label, scores in self.per_class.items()}

    @model_validator(mode="after")
    def _names_the_seven(self) -> Self:
        if sorted(self.labels) != sorted(LABELS):
            raise ValueError(
                f"the manifest of {self.name} has the labels {', '.join(self.labels)}; "
                f"each of {', '.join(LABELS)} must occur once, in the order of the network's outputs"
            )
        return self

    def image_input(self) -> ImageInput:
        """Return how a crop becomes the network's input.

        Raises:
            ValueError: it takes no pictures.
        """
        if isinstance(self.input, VectorInput):
            raise ValueError(
                f"{self.name} takes deep features of {self.input.source}, not pictures: name a model that sees them"
            )
        if not isinstance(self.input, ImageInput):
            raise ValueError(f"{self.name} takes sound, not pictures: name a face model (see `moodreel models`)")
        return self.input

    def sound_input(self) -> SoundInput:
        """Return what windows of sound it takes.

        Raises:
            ValueError: it takes no sound.
        """
        if not isinstance(self.input, SoundInput):
            raise ValueError(f"{self.name} does not take windows of sound: name a voice model of `moodreel models`")
        return self.input

    def output_order(self) -> list[int]:
        """Return for each of LABELS the place of its output."""
        return [self.labels.index(label) for label in LABELS]
