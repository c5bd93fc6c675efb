import math
from pathlib import Path

import numpy as np
import pytest
import torch
from stripes import stripes

from moodreel.models.networks import NETWORKS, build_network
from moodreel.tasks.learning.examples import FaceExamples
from moodreel.tasks.learning.labelled import LabelledFaces, read_labelled_faces
from moodreel.tasks.learning.recipes import RECIPES
from moodreel.tasks.learning.train import build_objective, train_classifier

ZOO = (
    "inception-resnet-v2", "gan-sgdma", "small-vgg", "medium-vgg", "baseline-residual", "plain-cnn",
    "mobilenet-v3-large", "resnet34", "resnet50", "wide-resnet-50-2", "vgg16", "vgg19", "inception-v3",
    "xception", "cnn", "r-cnn", "lstm", "rnn", "dbn",
)  # fmt: skip
BATCH, STEPS, EPOCHS = 16, 50, 5
_read: dict[Path, LabelledFaces] = {}


def first_faces(source: Path) -> LabelledFaces:
    if source not in _read:
        _read[source] = read_labelled_faces(source, "train").pick(np.arange(BATCH * STEPS // EPOCHS))
    return _read[source]


LARGE = ("inception-resnet-v2", "gan-sgdma", "inception-v3", "xception")  # also at debug size


@pytest.mark.needs_shared
@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LARGE)) for name in ZOO])
def test_every_network_learns_in_fifty_steps_by_its_recipe(name: str, fer2013: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    small = {"is_debug": True, "num_epochs": EPOCHS, "batch_size": BATCH, "distillation": None}
    config = RECIPES[name]().model_copy(update=small)
    examples = FaceExamples(first_faces(fer2013), config)
    few = FaceExamples(first_faces(fer2013).pick(np.arange(BATCH)), config)
    steps: list[int] = []
    trained = train_classifier(config, examples, few, tmp_path, on_step=lambda step, _: steps.append(step))
    assert steps[-1] == STEPS
    losses = [line.losses["class"] for line in trained.history]
    assert losses[-1] < 0.98 * losses[0]
    assert all(torch.isfinite(tensor).all() for tensor in trained.network.state_dict().values())
    shapes = {key: tensor.shape for key, tensor in build_network(name, debug=True).state_dict().items()}
    assert {key: tensor.shape for key, tensor in trained.network.state_dict().items()} == shapes


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_every_network_takes_steps_at_its_full_width(name: str) -> None:
    torch.set_num_threads(1)
    config = RECIPES[name]().model_copy(update={"batch_size": 4, "distillation": None})
    examples = FaceExamples(stripes(28), config)
    objective = build_objective(config, examples, None)
    objective.begin_epoch(is_frozen=False)
    before = [tensor.clone() for tensor in objective.network.parameters()]
    generator = torch.Generator().manual_seed(0)
    for first in (0, 4):
        losses = objective.step(examples.draw(torch.arange(first, first + 4), generator), 0.001)
        assert all(math.isfinite(loss) for loss in losses.values())
    assert all(torch.isfinite(tensor).all() for tensor in objective.network.state_dict().values())
    after = list(objective.network.parameters())
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))


def test_every_zoo_network_has_a_recipe_of_its_name() -> None:
    assert set(ZOO) <= NETWORKS.keys()
    for name in ZOO:
        assert RECIPES[name]().network == name
