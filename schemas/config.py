"""What an analysis does, as frozen values; a digest of each keys the resume record."""

import hashlib
from typing import Annotated, Final, Literal

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from moodreel.schemas.purposes import Ground, check_purpose, stated_purpose

Positive = Annotated[float, Gt(0.0)]
Share = Annotated[float, Ge(0.0), Le(1.0)]


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def digest(self) -> str:
        """Return 16 hex digits that change with every value."""
        text = f"{type(self).__name__} {self.model_dump_json()}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class PictureConfig(_Config):
    """How frames are sampled and faces found, tracked and cropped."""

    version: int = 1  # raised when the same settings come to give other rows
    decoder: Literal["pyav", "decord"] = "pyav"
    sample_fps: Annotated[float, Gt(0.0), Le(240.0)] = 5.0
    min_face_px: Annotated[int, Ge(12), Le(2000)] = 20
    min_score: Share = 0.9
    crop_margin: Share = 0.4  # of the face box's longer side, both sides together
    max_crop_px: Annotated[int, Ge(32)] = 160


class SoundConfig(_Config):
    """How sound is cut into windows and described."""

    version: int = 1
    window_s: Positive = 2.0
    hop_s: Positive = 1.0
    speech_threshold: Share = 0.5


class AnalysisConfig(_Config):
    """One night's wishes for every video."""

    picture: PictureConfig = PictureConfig()
    sound: SoundConfig | None = SoundConfig()
    face_models: tuple[str, ...]
    voice_models: tuple[str, ...] = ()
    features: bool = False  # store each face's deep features under the models that have any

    @property
    def models(self) -> tuple[str, ...]:
        """Face and voice models together."""
        return (*self.face_models, *self.voice_models)


class Isolation(_Config):
    """What a video may take that cost a worker, and is therefore analysed in a process of its own."""

    memory_mb: Annotated[int, Ge(1)] = 4096  # beyond that of the loaded networks
    cpu_s: Annotated[int, Ge(1)] = 3600  # for the whole sound, and for two minutes of picture
    max_pixels: Annotated[int, Ge(1)] = 2**26  # of a frame; 8K has half of that
    max_streams: Annotated[int, Ge(1)] = 32


SAMPLE_RATE_HZ: Final = 16_000


class NightRequest(_Config):
    """What a run is asked for: the parameters of the flow and of `moodreel run`."""

    folder: Annotated[str, MinLen(1)]  # Prefect turns a variable that is not set into ""
    warehouse: Annotated[str, MinLen(1)] = "warehouse-data"
    models: tuple[str, ...] = ()  # face and voice models alike; a task that none is named for takes its defaults
    features: bool = False  # fill the table face_features
    sample_fps: Annotated[float, Gt(0.0), Le(240.0)] = 5.0
    min_face_px: Annotated[int, Ge(12), Le(2000)] = 20
    decoder: Literal["pyav", "decord"] = "pyav"
    audio: bool = True
    workers: Annotated[int, Ge(0), Le(4096)] | None = None  # None: one a processor; 0: in this process, without Ray
    isolation: Isolation = Isolation()
    purpose: Annotated[str | None, AfterValidator(stated_purpose)] = Field(default=None, validate_default=True)
    exception: Ground | None = None  # why a purpose at work or in education is lawful

    @model_validator(mode="after")
    def _is_permitted(self) -> "NightRequest":
        check_purpose(self.purpose, self.exception)
        return self
