"""Named training recipes: each function is one whole configuration."""

from collections.abc import Callable
from typing import Final

from moodreel.schemas.training import (
    Adversarial,
    Augmentation,
    Cosine,
    DeepFeatures,
    Distillation,
    Mfccs,
    OneCycle,
    Plateau,
    SoundAugmentation,
    SoundFeatures,
    Steps,
    TrainingConfig,
)


def inception_resnet_v2() -> TrainingConfig:
    """All layers, taught by the small VGG, at the smallest size the network takes; on from the shipped weights.

    A peak rate of 0.05 diverges from random weights.
    """
    return TrainingConfig(
        network="inception-resnet-v2",
        input_px=75,
        num_epochs=18,
        schedule=OneCycle(peak_rate=0.02, warm_share=0.15),
        weight_decay=5e-4,
        gradient_norm=5.0,
        distillation=Distillation(teachers=("small-vgg",)),
    )


def inception_resnet_v2_source() -> TrainingConfig:
    """As its source trained it (issue 3): plain momentum, 30,000 steps at 0.01 and 2,000 at 0.0001, from the labels.

    72 epochs of FER2013 in batches of 64 are 32,256 steps.
    """
    return TrainingConfig(
        network="inception-resnet-v2",
        input_px=75,
        num_epochs=72,
        schedule=Steps(rates=((30_000, 0.01), (2_000, 0.0001))),
        nesterov=False,
        vote_share=0.0,
    )


def gan_sgdma() -> TrainingConfig:
    """The source paper's denoiser and critic, taught by the small VGG; plain momentum, on from the shipped weights.

    Its card has what its runs changed of this; `small-vgg-1` is from `train small-vgg --set seed=1 --name small-vgg-1`.
    """
    return TrainingConfig(
        network="gan-sgdma",
        input_px=48,
        num_epochs=34,
        batch_size=128,
        schedule=OneCycle(peak_rate=0.05),
        nesterov=False,
        weight_decay=5e-4,
        gradient_norm=5.0,
        drop_rate=0.3,
        distillation=Distillation(teachers=("small-vgg",)),
        adversarial=Adversarial(share=0.0625, denoiser_rate_factor=6.0),
    )


def gan_sgdma_deep() -> TrainingConfig:
    """GAN-SGDMA on the deep features of single pictures; the noise is that of features of a spread of 1."""
    return TrainingConfig(
        network="gan-sgdma-deep",
        input_px=48,
        num_epochs=20,
        batch_size=128,
        schedule=OneCycle(peak_rate=0.02),
        nesterov=False,
        weight_decay=5e-4,
        gradient_norm=5.0,
        drop_rate=0.3,
        deep=DeepFeatures(),
        adversarial=Adversarial(noise_sigmas=(0.25, 0.5, 0.75), share=0.5),
    )


def gan_sgdma_deep_window() -> TrainingConfig:
    """The same on several frames of a track, whose face turns and moves a little and is never mirrored."""
    little = Augmentation(
        rotation_deg=5.0,
        shift_share=0.04,
        zoom_share=0.08,
        brightness_share=0.1,
        flip_probability=0.0,
        erase_probability=0.0,
    )
    return gan_sgdma_deep().model_copy(update={"deep": DeepFeatures(num_frames=4), "augmentation": little})


def gan_sgdma_voice() -> TrainingConfig:
    """GAN-SGDMA on openSMILE's features of single windows, in mixed pairs; the noise suits a spread of 1."""
    return TrainingConfig(
        network="gan-sgdma-voice",
        num_epochs=20,
        keep="last",
        batch_size=64,
        schedule=OneCycle(peak_rate=0.02),
        nesterov=False,
        weight_decay=1e-3,
        precision="fp32",
        gradient_norm=5.0,
        class_balance="sampling",
        mix_share=0.5,
        drop_rate=0.5,
        sound=SoundFeatures(),
        adversarial=Adversarial(noise_sigmas=(0.25, 0.5, 0.75), share=0.5),
    )


def ser_cnn() -> TrainingConfig:
    """The speech network on MFCCs; pairs are mixed and clips changed a lot, since it learns them by heart."""
    return TrainingConfig(
        network="ser-cnn",
        num_epochs=20,
        keep="last",
        batch_size=128,
        schedule=OneCycle(peak_rate=0.04),
        weight_decay=1e-3,
        gradient_norm=5.0,
        class_balance="sampling",
        mix_share=0.5,
        drop_rate=0.4,
        sound=Mfccs(augmentation=SoundAugmentation(num_copies=6, pitch_semitones=2.5, speed_share=0.15)),
    )


def small_vgg() -> TrainingConfig:
    """The small fast network."""
    return TrainingConfig(
        network="small-vgg",
        input_px=48,
        num_epochs=45,
        batch_size=128,
        schedule=OneCycle(peak_rate=0.05),
        weight_decay=5e-4,
        drop_rate=0.3,
    )


def medium_vgg() -> TrainingConfig:
    """The same wider, for teaching the others: more than twice the multiplications."""
    return small_vgg().model_copy(update={"network": "medium-vgg", "drop_rate": 0.4})


def debug() -> TrainingConfig:
    """A few seconds of training, for tests of the loop."""
    return TrainingConfig(
        network="debug-cnn", input_px=48, num_epochs=3, schedule=OneCycle(peak_rate=0.05), batch_size=16
    )


def baseline_residual() -> TrainingConfig:
    """The baseline residual network as FER2013 work trains it: a rate that falls on each plateau."""
    return TrainingConfig(
        network="baseline-residual",
        input_px=48,
        num_epochs=80,
        patience_epochs=15,
        batch_size=64,
        schedule=Plateau(rate=0.02),
    )


def plain_cnn() -> TrainingConfig:
    """The plain CNN of 128 to 512 filters; its dense layers want much dropout."""
    return _zoo("plain-cnn", input_px=48, drop_rate=0.4, weight_decay=5e-4, schedule=Cosine(rate=0.03))


def mobilenet_v3_large() -> TrainingConfig:
    """MobileNetV3-Large in fp32: bf16 slows its depthwise convolutions down on CPUs."""
    return _zoo("mobilenet-v3-large", input_px=64, precision="fp32", schedule=OneCycle(peak_rate=0.02))


def resnet34() -> TrainingConfig:
    """ResNet34."""
    return _zoo("resnet34", input_px=64, weight_decay=5e-4)


def resnet50() -> TrainingConfig:
    """ResNet50."""
    return _zoo("resnet50", input_px=64, weight_decay=5e-4)


def wide_resnet_50_2() -> TrainingConfig:
    """Wide-ResNet-50-2."""
    return _zoo("wide-resnet-50-2", input_px=64, weight_decay=5e-4)


def vgg16() -> TrainingConfig:
    """VGG16; its large dense layers want VGG's own dropout of one half."""
    return _zoo("vgg16", input_px=64, drop_rate=0.5, weight_decay=5e-4, schedule=OneCycle(peak_rate=0.01))


def vgg19() -> TrainingConfig:
    """VGG19, like VGG16."""
    return _zoo("vgg19", input_px=64, drop_rate=0.5, weight_decay=5e-4, schedule=OneCycle(peak_rate=0.01))


def inception_v3() -> TrainingConfig:
    """Inception-v3 at the smallest side it takes, at the rate that suits Inception-ResNet-v2."""
    return _zoo("inception-v3", input_px=75, schedule=OneCycle(peak_rate=0.012))


def xception() -> TrainingConfig:
    """Xception in fp32, like all networks of depthwise convolutions."""
    return _zoo("xception", input_px=64, precision="fp32", schedule=OneCycle(peak_rate=0.03))


def cnn() -> TrainingConfig:
    """The paper's comparator CNN."""
    return _comparator("cnn")


def r_cnn() -> TrainingConfig:
    """The paper's comparator R-CNN."""
    return _comparator("r-cnn")


def lstm() -> TrainingConfig:
    """The paper's comparator LSTM, in fp32 and with short gradients as recurrent networks need them."""
    return _comparator("lstm", precision="fp32", gradient_norm=1.0, schedule=OneCycle(peak_rate=0.2))


def rnn() -> TrainingConfig:
    """The paper's comparator RNN, like the LSTM."""
    return _comparator("rnn", precision="fp32", gradient_norm=1.0)


def dbn() -> TrainingConfig:
    """The paper's comparator DBN: pretrained layer by layer, then fine-tuned here."""
    return _comparator("dbn", precision="fp32", schedule=OneCycle(peak_rate=0.1))


def _zoo(network: str, input_px: int, **others: object) -> TrainingConfig:
    """What the zoo's networks share unless a recipe says otherwise."""
    shared: dict[str, object] = {"num_epochs": 60, "batch_size": 128, "schedule": OneCycle(peak_rate=0.05)}
    return TrainingConfig.model_validate(shared | {"network": network, "input_px": input_px} | others)


def _comparator(network: str, **others: object) -> TrainingConfig:
    """The budget that the paper's five comparators share; only what decides whether one learns at all is its own."""
    shared: dict[str, object] = {"num_epochs": 40, "batch_size": 64, "schedule": OneCycle(peak_rate=0.03)}
    return TrainingConfig.model_validate(shared | {"network": network, "input_px": 48} | others)


RECIPES: Final[dict[str, Callable[[], TrainingConfig]]] = {
    "inception-resnet-v2": inception_resnet_v2,
    "inception-resnet-v2-source": inception_resnet_v2_source,
    "gan-sgdma": gan_sgdma,
    "gan-sgdma-deep": gan_sgdma_deep,
    "gan-sgdma-deep-window": gan_sgdma_deep_window,
    "gan-sgdma-voice": gan_sgdma_voice,
    "ser-cnn": ser_cnn,
    "small-vgg": small_vgg,
    "medium-vgg": medium_vgg,
    "debug": debug,
    "baseline-residual": baseline_residual,
    "plain-cnn": plain_cnn,
    "mobilenet-v3-large": mobilenet_v3_large,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "wide-resnet-50-2": wide_resnet_50_2,
    "vgg16": vgg16,
    "vgg19": vgg19,
    "inception-v3": inception_v3,
    "xception": xception,
    "cnn": cnn,
    "r-cnn": r_cnn,
    "lstm": lstm,
    "rnn": rnn,
    "dbn": dbn,
}
