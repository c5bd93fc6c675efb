import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from stripes import stripes

from moodreel.models.networks import build_network
from moodreel.schemas.training import Cosine, OneCycle, TrainingConfig
from moodreel.tasks.learning.examples import FaceExamples, VectorExamples
from moodreel.tasks.learning.rate_chart import NUMBERS, PICTURE, draw_rate_search, write_rate_search
from moodreel.tasks.learning.rate_finder import RateSearch, find_rate, smooth
from moodreel.tasks.learning.recipes import RECIPES

DEBUG = RECIPES["debug"]()


def search(config: TrainingConfig = DEBUG, init: Path | None = None) -> RateSearch:
    torch.set_num_threads(1)
    return find_rate(config, FaceExamples(stripes(), config), init=init)


def test_rates_grow_until_the_loss_explodes_and_the_kind_of_schedule_chooses() -> None:
    found, lasting = search(), search(DEBUG.model_copy(update={"schedule": Cosine(rate=1.0)}))
    ratios = [later / earlier for earlier, later in zip(found.rates, found.rates[1:], strict=False)]
    assert found.rates[0] == pytest.approx(1e-6)
    assert ratios == pytest.approx([ratios[0]] * len(ratios)) and ratios[0] == pytest.approx(10 ** (7 / 99))
    assert len(found.rates) == len(found.losses) == len(found.smoothed) < 100
    assert found.smoothed[-1] > min(found.smoothed) + 0.5
    assert found.minimum_rate == found.rates[found.smoothed.index(min(found.smoothed))]
    assert found.chosen_rate == found.minimum_rate
    assert (lasting.losses, lasting.minimum_rate) == (found.losses, found.minimum_rate)
    assert lasting.chosen_rate == pytest.approx(found.minimum_rate / 10)


def test_a_search_is_the_same_each_time_and_does_not_look_at_the_rates_of_the_schedule() -> None:
    other = DEBUG.model_copy(update={"schedule": OneCycle(peak_rate=1e-5), "num_epochs": 9})
    assert search() == search(other)


def test_a_search_starts_from_given_weights(tmp_path: Path) -> None:
    torch.manual_seed(7)
    save_file(build_network(DEBUG.network).state_dict(), tmp_path / "a.safetensors")
    content = (tmp_path / "a.safetensors").read_bytes()
    assert search(init=tmp_path / "a.safetensors") != search()
    assert (tmp_path / "a.safetensors").read_bytes() == content


def test_every_batch_is_told() -> None:
    told: list[tuple[int, int]] = []
    found = find_rate(DEBUG, FaceExamples(stripes(), DEBUG), on_step=lambda *step: told.append(step))
    assert told == [(step, 100) for step in range(1, len(found.losses) + 1)]


def test_smoothing_follows_a_constant_at_once_and_a_jump_slowly() -> None:
    assert smooth([2.0] * 5) == pytest.approx([2.0] * 5)
    jump = smooth([0.0] * 50 + [1.0] * 2)
    assert jump[-2:] == pytest.approx([0.1, 0.19], abs=0.01)
    assert smooth([]) == []


def test_too_few_examples_are_refused() -> None:
    config = DEBUG.model_copy(update={"batch_size": 113})
    with pytest.raises(ValueError, match="fewer than one batch"):
        search(config)


def test_data_that_are_no_numbers_have_no_rate() -> None:
    labels = np.arange(32) % 7
    broken = VectorExamples(np.full((32, 3, 48, 48), np.nan, np.float32), labels, torch.eye(7)[labels])
    with pytest.raises(ValueError, match="fell at no rate"):
        find_rate(DEBUG, broken)


def test_the_picture_and_the_numbers_hold_the_chosen_rate(tmp_path: Path) -> None:
    rates = [10.0 ** (power / 10 - 5) for power in range(40)]
    losses = [2.0 - power / 40 if power < 30 else 1.25 + (power - 29) * 0.3 for power in range(40)]
    found = RateSearch(rates, losses, smooth(losses), 0.01, 0.001)
    write_rate_search(found, "a recipe", tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {PICTURE, NUMBERS}
    with Image.open(tmp_path / "run" / PICTURE) as picture:
        assert picture.format == "PNG" and picture.width > 1000
    assert RateSearch(**json.loads((tmp_path / "run" / NUMBERS).read_text())) == found
    chart = draw_rate_search(found, "a recipe").to_json()
    assert "chosen: 0.001" in chart and "minimum: 0.01" in chart and '"type": "log"' in chart
