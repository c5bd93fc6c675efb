import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from moodreel.models.networks import Pretrainable, build_network
from moodreel.schemas.training import Augmentation, OneCycle, TrainingConfig
from moodreel.tasks.learning.examples import FaceExamples
from moodreel.tasks.learning.labelled import LabelledFaces
from moodreel.tasks.learning.pretraining import pretrain
from moodreel.tasks.learning.recipes import RECIPES
from moodreel.tasks.learning.train import train_classifier

CONFIG = RECIPES["dbn"]().model_copy(update={"is_debug": True, "num_epochs": 2, "batch_size": 16})
# what the only epoch starts from is what comes out
STILL = CONFIG.model_copy(update={"num_epochs": 1, "schedule": OneCycle(peak_rate=1e-9)})
FIRST = "layers.0.weight"


def waves(config: TrainingConfig) -> FaceExamples:
    """Two waves across each picture, of seven directions and any phase."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:48, :48] / 48
    images, labels = [], np.arange(160) % 7
    for angle in labels * np.pi / 7:
        wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 4 * np.pi + rng.uniform(0, 6))
        data = io.BytesIO()
        Image.fromarray((wave * 100 + 128).astype(np.uint8)).save(data, "PNG")
        images.append(data.getvalue())
    faces = LabelledFaces(images, labels, np.zeros((160, 7), np.float32), np.zeros(160, bool), None, {})
    return FaceExamples(faces, config)


def trained(out: Path, config: TrainingConfig, resume: bool = False, init: Path | None = None) -> dict[str, Tensor]:
    torch.set_num_threads(1)
    examples = waves(config)
    return dict(train_classifier(config, examples, examples, out, resume=resume, init=init).network.state_dict())


def test_a_pretrained_layer_dreams_what_it_saw() -> None:
    torch.set_num_threads(1)
    config = CONFIG.model_copy(update={"augmentation": Augmentation(erase_probability=0), "batch_size": 4})
    examples = waves(config)
    pictures = examples.plain(slice(None)).mean(1).flatten(1)

    def likeness(network: torch.nn.Module) -> float:
        weight = network.state_dict()[FIRST]
        dreamt = torch.nn.functional.linear((pictures + 1) / 2, weight, network.state_dict()["layers.0.bias"])
        dreamt = dreamt.sigmoid() @ weight
        return float(torch.cosine_similarity(dreamt - dreamt.mean(0), pictures - pictures.mean(0)).mean())

    torch.manual_seed(0)
    network = build_network("dbn", debug=True)
    before = likeness(network)
    pretrain(network, examples, config)
    assert before < 0.3 and likeness(network) > 0.4


def test_a_new_run_pretrains_and_the_seed_decides_the_outcome(tmp_path: Path) -> None:
    torch.manual_seed(STILL.seed)
    fresh = build_network("dbn", debug=True).state_dict()
    one, same = trained(tmp_path / "a", STILL), trained(tmp_path / "b", STILL)
    assert (one[FIRST] - fresh[FIRST]).abs().max() > 0.01
    assert all(torch.equal(one[name], same[name]) for name in one)
    other = trained(tmp_path / "c", STILL.model_copy(update={"seed": 1}))
    assert not torch.equal(one[FIRST], other[FIRST])


def test_given_weights_are_not_pretrained(tmp_path: Path) -> None:
    given = build_network("dbn", debug=True).state_dict()
    save_file(given, tmp_path / "given.safetensors")
    torch.testing.assert_close(
        trained(tmp_path / "a", STILL, init=tmp_path / "given.safetensors")[FIRST], given[FIRST], atol=1e-6, rtol=0
    )


def test_a_resumed_run_is_not_pretrained_again(tmp_path: Path) -> None:
    whole = trained(tmp_path / "a", CONFIG)

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    examples = waves(CONFIG)
    with pytest.raises(KeyboardInterrupt):
        train_classifier(CONFIG, examples, examples, tmp_path / "b", on_epoch=stop)
    resumed = trained(tmp_path / "b", CONFIG, resume=True)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_networks_that_want_no_pretraining_stay_as_they_are() -> None:
    network = build_network("debug-cnn")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert not isinstance(network, Pretrainable)
    pretrain(network, waves(CONFIG), CONFIG)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
