from pathlib import Path

import numpy as np
import pytest
import torch

from moodreel.models.networks import NETWORKS, build_network
from moodreel.tasks.learning.examples import FaceExamples
from moodreel.tasks.learning.labelled import LabelledFaces, read_labelled_faces
from moodreel.tasks.learning.recipes import RECIPES
from moodreel.tasks.learning.train import train_classifier

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
    steps: list[int] = []
    trained = train_classifier(config, examples, examples, tmp_path, on_step=lambda step, _: steps.append(step))
    assert steps[-1] == STEPS
    losses = [line.losses["class"] for line in trained.history]
    assert losses[-1] < 0.98 * losses[0]
    assert all(torch.isfinite(tensor).all() for tensor in trained.network.state_dict().values())
    shapes = {key: tensor.shape for key, tensor in build_network(name, debug=True).state_dict().items()}
    assert {key: tensor.shape for key, tensor in trained.network.state_dict().items()} == shapes


def test_every_zoo_network_has_a_recipe_of_its_name() -> None:
    assert set(ZOO) <= NETWORKS.keys()
    for name in ZOO:
        assert RECIPES[name]().network == name
