"""A training run as one frozen value."""

from typing import Annotated, Final, Literal, Self

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Ge(0.0), Le(1.0)]
Rate = Annotated[float, Gt(0.0)]
Count = Annotated[int, Ge(1)]
Precision = Literal["bf16", "fp32"]
OptimizerName = Literal["sgd-momentum", "sgd", "adagrad", "rmsprop", "adam"]
BEST: Final = "best.safetensors"  # in a run's folder: the kept epoch's weights, not yet rounded to ship


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class OneCycle(_Frozen):
    """Up to the peak and down to nothing, along half cosines (Smith & Topin 2017, arXiv 1708.07120)."""

    kind: Literal["one-cycle"] = "one-cycle"
    peak_rate: Rate
    warm_share: Share = 0.25  # of all steps until the peak


class Cosine(_Frozen):
    """From the rate down to nothing along half a cosine (Loshchilov & Hutter 2016, arXiv 1608.03983)."""

    kind: Literal["cosine"] = "cosine"
    rate: Rate


class Steps(_Frozen):
    """One rate after the other, each for a number of steps; the last one stays."""

    kind: Literal["steps"] = "steps"
    rates: Annotated[tuple[tuple[Count, Rate], ...], Field(min_length=1)]


class Plateau(_Frozen):
    """A rate that is multiplied by the factor once the accuracy has not risen for more than `patience_epochs`."""

    kind: Literal["plateau"] = "plateau"
    rate: Rate
    factor: Share = 0.3
    patience_epochs: Count = 5


Schedule = Annotated[OneCycle | Cosine | Steps | Plateau, Field(discriminator="kind")]


class Augmentation(_Frozen):
    """What is done to a training picture; each value is the largest change, drawn anew for every picture."""

    rotation_deg: float = 10.0
    shift_share: Share = 0.08  # of the picture's side
    zoom_share: Share = 0.15
    crop_pad_px: Annotated[int, Ge(0)] = 0  # pad by that much, then crop back at a random place
    brightness_share: Share = 0.2
    flip_probability: Share = 0.5
    erase_probability: Share = 0.25


class Distillation(_Frozen):
    """Learn from the probabilities that other models give to the same augmented picture (arXiv 1503.02531)."""

    teachers: Annotated[tuple[str, ...], Field(min_length=1)]  # registered face models; their logits are averaged
    share: Share = 0.7  # of the loss; the rest is that of the labels
    temperature: Rate = 2.0


class Adversarial(_Frozen):
    """The terms of GAN-SGDMA: a denoiser against a critic with a gradient penalty (Gulrajani et al., 1704.00028)."""

    noise_sigmas: tuple[Rate, ...] = (0.08, 0.16, 0.24)  # three levels of Gaussian noise; pixels span -1..1
    judgement_weight: Rate = 0.003  # of the critic's judgement, with its penalty, beside the class loss on its trunk
    critic_weight: Rate = 1e-4  # of the critic's judgement in the denoiser's loss, beside the mean squared error
    gradient_penalty: Rate = 10.0
    share: Annotated[float, Gt(0.0), Le(1.0)] = 0.25  # of a batch that denoiser and judgement learn from; it is dear
    denoiser_rate_factor: Rate = 1.0  # the denoiser's rate as a multiple of the schedule's
    denoise_all: bool = False  # classify all but the real examples as `run` does: denoised, though no noise was added


class DeepFeatures(_Frozen):
    """Learn from what a frozen network reads off the pictures, instead of the pictures."""

    model: str = "inception-resnet-v2"  # a registered face model with deep features
    num_frames: Count = 1  # views of a face whose features make one example; 1 takes the picture as it is


class SoundAugmentation(_Frozen):
    """What is done to the copies of a clip; each value is the largest change, drawn anew for every copy."""

    num_copies: Annotated[int, Ge(0)] = 4  # of each clip, beside the clip itself
    gain_db: Annotated[float, Ge(0.0)] = 12.0
    noise_probability: Share = 0.5
    noise_snr_db: tuple[float, float] = (8.0, 30.0)  # of white noise, least and most
    pitch_semitones: Annotated[float, Ge(0.0)] = 1.5
    speed_share: Annotated[float, Ge(0.0), Le(0.5)] = 0.1


class SoundFeatures(_Frozen):
    """Learn from openSMILE's 1582 features of the windows of a clip, cut and described as those of a video."""

    kind: Literal["features"] = "features"
    min_speech_share: Share = 0.3  # windows with less are not learnt from, and get no verdict later
    augmentation: SoundAugmentation = SoundAugmentation()


class Mfccs(_Frozen):
    """Learn from the mel frequency cepstral coefficients of a stretch of each clip."""

    kind: Literal["mfccs"] = "mfccs"
    num_coefficients: Count = 13
    offset_s: Annotated[float, Ge(0.0)] = 0.5
    length_s: Rate = 2.5
    augmentation: SoundAugmentation = SoundAugmentation()


Sound = Annotated[SoundFeatures | Mfccs, Field(discriminator="kind")]


class TrainingConfig(_Frozen):
    """Everything that decides the outcome of a training run except the data."""

    network: str  # a name in models/networks.py
    is_debug: bool = False  # the network's narrow flavour, for tests
    input_px: Annotated[int, Ge(16)] = 48  # of pictures
    source_px: Annotated[int, Ge(16)] = 48  # faces are reduced to this size before they are enlarged to input_px
    num_epochs: Count
    patience_epochs: Count | None = None  # stop early when the accuracy has not risen for so long
    keep: Literal["best", "last"] = "best"  # which epoch's weights are the outcome
    frozen_epochs: Annotated[int, Ge(0)] = 0  # first epochs in which only the last dense layer learns; needs --init
    batch_size: Annotated[int, Ge(2)] = 64
    optimizer: OptimizerName = "sgd-momentum"
    schedule: Schedule
    momentum: Share = 0.9
    nesterov: bool = True  # look ahead by one step of momentum; off in GAN-SGDMA, whose paper has it plain
    weight_decay: Annotated[float, Ge(0.0)] = 1e-4
    precision: Precision = "bf16"  # of matrix products; weights, and CPUs without bf16, stay fp32
    gradient_norm: Rate | None = None  # gradients longer than this are shortened to it
    class_balance: Literal["none", "weights", "sampling"] = "none"
    vote_share: Share = 0.3  # of the target that the FER+ votes give; the rest is the label
    mix_share: Share = 0.0  # of each batch whose inputs and targets are mixed in pairs (mixup)
    drop_rate: Share = 0.2
    seed: int = 0
    augmentation: Augmentation = Augmentation()
    distillation: Distillation | None = None
    adversarial: Adversarial | None = None
    deep: DeepFeatures | None = None
    sound: Sound | None = None  # learn from speech instead of faces

    @property
    def is_by_votes(self) -> bool:
        """The taggers' votes alone are learnt, so they decide what is right."""
        return self.vote_share == 1.0

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.frozen_epochs >= self.num_epochs:
            raise ValueError("frozen_epochs must be fewer than num_epochs: the rest of the network has to learn too")
        if self.adversarial and self.frozen_epochs:
            raise ValueError("frozen_epochs has no place in adversarial training: leave one of them out")
        if self.adversarial and self.adversarial.share + self.mix_share > 1:
            both = f"adversarial.share {self.adversarial.share} and mix_share {self.mix_share}"
            raise ValueError(f"{both} are more than a batch, and real examples can't be mixed pairs: lower one of them")
        if self.adversarial and self.adversarial.denoise_all and self.adversarial.share == 1:
            raise ValueError("adversarial.denoise_all has nothing left to denoise: lower adversarial.share")
        if 0 < self.mix_share * self.batch_size < 1:
            raise ValueError(f"mix_share {self.mix_share} of {self.batch_size} is less than one example: raise it")
        if self.deep and self.distillation:
            raise ValueError("distillation needs pictures, which deep features replace: leave one of them out")
        if not self.sound and self.source_px > self.input_px:
            raise ValueError(f"source_px {self.source_px} is more than input_px {self.input_px}: set it as low")
        if self.sound and (self.keep == "best" or self.patience_epochs or self.schedule.kind == "plateau"):
            raise ValueError(
                "voices are judged by speakers never heard, who may choose nothing: keep must be last, without "
                "patience_epochs and without the schedule plateau"
            )
        if self.sound and (self.deep or self.distillation):
            raise ValueError("deep and distillation belong to faces, sound to speech: leave one of them out")
        if isinstance(self.sound, Mfccs) and self.class_balance == "weights":
            raise ValueError(
                "a network of MFCCs tells sexes apart too, so class_balance can be sampling but not weights"
            )
        return self
