"""Every setting of a training run has an effect, and the one that it says."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from other_model import other_model
from PIL import Image
from safetensors.torch import save_file
from speech import speech_clips, voice
from stripes import are_equal, stripes, train_on_stripes
from torch import nn

from moodreel.models.features import find_head
from moodreel.models.inference import cpu_has_bf16
from moodreel.models.networks import build_network
from moodreel.schemas.manifest import ImageInput
from moodreel.schemas.training import (
    Adversarial,
    Augmentation,
    Cosine,
    DeepFeatures,
    Distillation,
    Mfccs,
    OneCycle,
    SoundAugmentation,
    SoundFeatures,
    Steps,
    TrainingConfig,
)
from moodreel.tasks.emotions import EmotionClassifier
from moodreel.tasks.learning.clip_examples import learning_examples, read_clip_rows
from moodreel.tasks.learning.deep_examples import read_examples
from moodreel.tasks.learning.examples import Batch, Examples, FaceExamples, class_weights, epoch_order, soft_targets
from moodreel.tasks.learning.labelled import LabelledFaces
from moodreel.tasks.learning.objective import ClassLoss
from moodreel.tasks.learning.teachers import Teachers
from moodreel.tasks.learning.train import Trained, build_objective, predict, train_classifier

DISTILLATION = Distillation(teachers=("inception-resnet-v2",))
BASE = TrainingConfig(
    network="small-vgg",
    is_debug=True,
    input_px=32,
    source_px=32,
    num_epochs=1,
    batch_size=8,
    schedule=OneCycle(peak_rate=0.05),
)
STALLED = {"schedule": Steps(rates=((1, 1e-9),)), "num_epochs": 3}  # no epoch is better than the first
WHOLE = Mfccs(offset_s=0.0, augmentation=SoundAugmentation(num_copies=0))
# a setting's other value, and what else has to be so for both runs
CHANGES: dict[str, tuple[Any, dict[str, Any]]] = {
    "network": ("debug-cnn", {}),
    "is_debug": (False, {}),
    "input_px": (40, {}),
    "source_px": (20, {}),
    "num_epochs": (2, {}),
    "patience_epochs": (1, STALLED),
    "frozen_epochs": (1, {"num_epochs": 2}),
    "batch_size": (16, {}),
    "optimizer": ("adam", {}),
    "schedule": (Cosine(rate=0.05), {}),
    "momentum": (0.5, {}),
    "nesterov": (False, {}),
    "weight_decay": (0.1, {}),
    "precision": ("fp32", {}),
    "gradient_norm": (0.01, {}),
    "class_balance": ("sampling", {}),
    "vote_share": (0.0, {}),
    "mix_share": (1.0, {}),
    "drop_rate": (0.5, {}),
    "seed": (1, {}),
    "augmentation": (Augmentation(rotation_deg=0.0), {}),
    "distillation": (DISTILLATION, {}),
    "adversarial": (Adversarial(), {"network": "gan-sgdma", "input_px": 48}),
    "keep": ("last", STALLED),
    "sound": (WHOLE.model_copy(update={"offset_s": 0.3}), {"network": "ser-cnn", "keep": "last", "sound": WHOLE}),
    "deep": (DeepFeatures(num_frames=2), {"network": "gan-sgdma-deep", "deep": DeepFeatures()}),
}


def uneven_faces() -> LabelledFaces:
    """Every label but few of disgust, with votes that differ from the labels."""
    faces = stripes(49)
    kept = np.array([index for index, label in enumerate(faces.labels) if label != 1 or index < 7])
    return replace(faces.pick(kept), votes=np.full((len(kept), 7), 1 / 7, np.float32))


def outcome(out: Path, config: TrainingConfig, init: Path | None) -> Trained:
    torch.set_num_threads(1)
    examples = speech_examples(config.sound, out) if config.sound else read_examples(uneven_faces(), config, out)
    return train_classifier(config, examples, examples, out, init=init)


def speech_examples(sound: SoundFeatures | Mfccs, out: Path) -> Examples:
    clips = speech_clips([number % 7 for number in range(14)], [voice(1.0, 90.0 + 20 * i) for i in range(14)])
    return learning_examples(read_clip_rows(clips, sound, out, seed=0), clips, np.arange(14), joint=True)


def test_every_setting_is_tried() -> None:
    assert set(CHANGES) == set(TrainingConfig.model_fields)


@pytest.mark.parametrize(
    "name",
    # the sound of this one is MFCCs, see test_mfccs.py
    [pytest.param(name, marks=pytest.mark.slow) if name == "sound" else name for name in sorted(CHANGES)],
)
def test_every_setting_changes_the_outcome(tmp_path: Path, name: str) -> None:
    if name == "precision" and not cpu_has_bf16():
        pytest.skip("this processor has no bf16: both precisions are fp32 on it")
    other, beside = CHANGES[name]
    config = TrainingConfig.model_validate(BASE.model_dump() | beside)
    changed = TrainingConfig.model_validate(config.model_dump() | {name: other})
    init = None
    if name == "frozen_epochs":
        init = tmp_path / "start.safetensors"
        save_file(build_network(config.network, debug=True).state_dict(), init)
    one, same = (outcome(tmp_path / run, config, init) for run in "ab")
    assert are_equal(one.network, same.network)  # else any change would prove nothing
    two = outcome(tmp_path / "c", changed, init)
    assert len(one.history) != len(two.history) or not are_equal(one.network, two.network)


def test_class_weights_change_the_outcome_too(tmp_path: Path) -> None:
    one = outcome(tmp_path / "a", BASE, None)
    two = outcome(tmp_path / "b", BASE.model_copy(update={"class_balance": "weights"}), None)
    assert not are_equal(one.network, two.network)


def test_a_run_without_progress_stops_after_its_patience(tmp_path: Path) -> None:
    config = BASE.model_copy(update={**STALLED, "num_epochs": 30, "patience_epochs": 2})
    accuracies = [line.accuracy for line in train_on_stripes(tmp_path, config).history]
    assert len(accuracies) == accuracies.index(max(accuracies)) + 1 + 2 < 30


def test_the_best_epoch_is_what_comes_out(tmp_path: Path) -> None:
    """112 stripes are 14 steps an epoch; the last epoch's rate throws the weights about."""
    config = BASE.model_copy(update={"num_epochs": 5, "schedule": Steps(rates=((56, 0.02), (14, 3.0)))})
    trained = train_on_stripes(tmp_path, config)
    accuracies = [line.accuracy for line in trained.history]
    assert accuracies[-1] < max(accuracies) - 0.1
    examples = FaceExamples(stripes(), config)
    found = float((predict(trained.network, examples, config).argmax(1) == examples.labels).mean())
    assert found == pytest.approx(max(accuracies), abs=1e-9)


def test_frozen_epochs_change_the_last_layer_alone_and_later_ones_everything() -> None:
    examples = FaceExamples(stripes(), BASE)
    objective = build_objective(BASE, examples, None)
    head = {id(tensor) for tensor in find_head(objective.network).parameters()}
    generator = torch.Generator().manual_seed(0)

    def changed(is_frozen: bool) -> set[str]:
        before = {name: tensor.clone() for name, tensor in objective.network.state_dict().items()}
        objective.begin_epoch(is_frozen)
        for _ in range(2):
            objective.step(examples.draw(torch.arange(8), generator), 0.05)
        return {
            name for name, tensor in objective.network.state_dict().items() if not torch.equal(tensor, before[name])
        }

    parts = dict(objective.network.named_parameters())
    assert changed(is_frozen=True) == {name for name, tensor in parts.items() if id(tensor) in head}
    assert changed(is_frozen=False) == set(objective.network.state_dict())


def test_sampling_gives_every_class_its_share() -> None:
    labels = np.array([0] * 500 + [1] * 8 + [2] * 500)
    drawn = labels[epoch_order(labels, True, torch.Generator().manual_seed(0)).numpy()]
    assert len(drawn) == len(labels)
    np.testing.assert_allclose(np.bincount(drawn) / len(drawn), 1 / 3, atol=0.05)
    whole = epoch_order(labels, False, torch.Generator().manual_seed(0))
    assert torch.equal(whole.sort().values, torch.arange(len(labels)))


def test_class_weights_make_every_class_weigh_the_same() -> None:
    labels = np.array([0] * 90 + [1] * 10)
    weights = class_weights(labels)
    assert weights[0] * 90 == pytest.approx(float(weights[1] * 10))
    assert weights[2:].tolist() == [0.0] * 5
    loss = ClassLoss(BASE, weights, torch.device("cpu"))
    logits = torch.tensor([[2.0, 0, 0, 0, 0, 0, 0]] * 100)
    each = nn.functional.cross_entropy(logits, torch.from_numpy(labels), reduction="none")
    assert float(loss(logits, torch.eye(7)[labels], None)) == pytest.approx(float((each[0] + each[-1]) / 2))


def test_votes_are_a_share_of_the_target_where_there_are_votes() -> None:
    votes = np.zeros((2, 7), np.float32)
    votes[0, 3] = 1
    targets = soft_targets(np.array([0, 1]), votes, 0.3)
    expected = torch.zeros(2, 7)
    expected[0, 0], expected[0, 3], expected[1, 1] = 0.7, 0.3, 1
    torch.testing.assert_close(targets, expected)


def test_a_lesson_is_its_share_of_the_loss_at_its_temperature() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, taught_logits = torch.randn(2, 4, 7, generator=generator).unbind()
    targets = torch.eye(7)[:4]
    plain = ClassLoss(BASE, None, torch.device("cpu"))(logits, targets, None)
    assert float(plain) == pytest.approx(float(nn.functional.cross_entropy(logits, targets)))
    for share, heat in ((0.0, 2.0), (0.7, 2.0), (1.0, 5.0)):
        settings = DISTILLATION.model_copy(update={"share": share, "temperature": heat})
        loss = ClassLoss(BASE.model_copy(update={"distillation": settings}), None, torch.device("cpu"))
        taught = (taught_logits / heat).softmax(1)
        lesson = (taught * (taught.log() - (logits / heat).log_softmax(1))).sum(1).mean() * heat**2
        assert float(loss(logits, targets, taught)) == pytest.approx(
            float((1 - share) * plain + share * lesson), rel=1e-4
        )


def test_a_hotter_teacher_is_less_sure() -> None:
    inputs = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    cool, hot = (
        Teachers(DISTILLATION.model_copy(update={"temperature": heat}), torch.device("cpu"))(inputs)
        for heat in (1.0, 8.0)
    )
    torch.testing.assert_close(cool.sum(1), torch.ones(2))
    torch.testing.assert_close((cool.log() / 8).softmax(1), hot, atol=1e-4, rtol=0)


def test_a_teacher_sees_pictures_as_its_manifest_says(tmp_path: Path) -> None:
    wanted = ImageInput(side_px=48, source_px=48, colour="grey", margin=0.0, mean=0.3, std=0.02)
    pictures = [Image.open(io.BytesIO(picture)) for picture in stripes(7).images]
    with other_model(tmp_path, input=wanted) as teacher:
        expected = EmotionClassifier(teacher.name, "torch").probabilities([each.convert("RGB") for each in pictures], 0)
        settings = Distillation(teachers=(teacher.name,), temperature=1.0)
        pixels = torch.from_numpy(np.stack([np.asarray(each) for each in pictures])).float() / 127.5 - 1
        taught = Teachers(settings, torch.device("cpu"))(pixels.unsqueeze(1).expand(-1, 3, -1, -1))
    torch.testing.assert_close(taught.numpy(), expected, atol=0.02, rtol=0)  # the teacher's is bfloat16 on some CPUs
    assert np.ptp(expected, axis=0).max() > 0.02, "all alike: nothing is compared"


@pytest.mark.parametrize("shape", [(8, 3, 4, 4), (8, 5)])
def test_mixing_changes_the_last_share_of_a_batch_and_its_targets_alike(shape: tuple[int, ...]) -> None:
    batch = Batch(torch.rand(shape, generator=torch.Generator().manual_seed(0)), torch.eye(8, 7))
    mixed = batch.mixed(0.5, torch.Generator().manual_seed(1))
    assert torch.equal(mixed.inputs[:4], batch.inputs[:4]) and torch.equal(mixed.targets[:4], batch.targets[:4])
    share = mixed.targets[6, 6]
    assert 0 < share < 1
    torch.testing.assert_close(mixed.inputs[6], share * batch.inputs[6] + (1 - share) * batch.inputs[1])
    torch.testing.assert_close(mixed.targets[6], share * batch.targets[6] + (1 - share) * batch.targets[1])
    assert batch.mixed(0.0, torch.Generator()) is batch


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"mix_share": 0.01}, "mix_share 0.01 of [0-9]+ is less than one example"),
        ({"adversarial": {"share": 1, "denoise_all": True}}, "nothing left to denoise: lower adversarial.share"),
        ({"adversarial": {"share": 0.5}, "mix_share": 0.6}, "share 0.5 and mix_share 0.6 are more than a batch"),
        ({"source_px": 33}, "source_px 33 is more than input_px 32"),
        ({"sound": WHOLE, "keep": "best"}, "keep must be last"),
        ({"sound": WHOLE, "keep": "last", "patience_epochs": 3}, "without patience_epochs"),
        (
            {"sound": WHOLE, "keep": "last", "schedule": {"kind": "plateau", "rate": 0.1}},
            "without the schedule plateau",
        ),
    ],
)
def test_settings_that_would_measure_something_else_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        TrainingConfig.model_validate(BASE.model_dump() | settings)


def test_source_px_takes_detail_away_and_leaves_the_input_size() -> None:
    faces = stripes(7)
    sharp, coarse = (
        FaceExamples(faces, BASE.model_copy(update={"source_px": side, "input_px": 48})).plain(slice(0, 7))
        for side in (48, 16)
    )
    assert sharp.shape == coarse.shape == (7, 3, 48, 48)
    assert coarse.diff(dim=3).abs().mean() < 0.8 * sharp.diff(dim=3).abs().mean()


def test_a_run_that_diverges_keeps_its_last_whole_epoch(tmp_path: Path) -> None:
    config = BASE.model_copy(
        update={"num_epochs": 3, "optimizer": "sgd", "schedule": Steps(rates=((27, 0.01), (15, 1e30)))}
    )
    with pytest.raises(FloatingPointError, match="no numbers"):  # it breaks in the last step of the second epoch
        train_on_stripes(tmp_path, config)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    kept = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert len(lines) == len(kept["history"]) == 1
    assert all(torch.isfinite(tensor).all() for tensor in kept["objective"]["network"].values())
