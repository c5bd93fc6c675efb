import multiprocessing
import os
import resource
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stripes import are_equal, train_on_stripes

from moodreel.schemas.training import OneCycle, Plateau, TrainingConfig
from moodreel.tasks.learning.checkpoint import BEST, CHECKPOINT
from moodreel.tasks.learning.examples import FaceExamples
from moodreel.tasks.learning.labelled import read_labelled_faces
from moodreel.tasks.learning.recipes import RECIPES
from moodreel.tasks.learning.train import METRICS, EpochMetrics, Trained, train_classifier

ONE_CYCLE = RECIPES["debug"]()
PLATEAU = ONE_CYCLE.model_copy(
    update={
        "schedule": Plateau(rate=0.01, patience_epochs=1),
        "class_balance": "sampling",
        "optimizer": "adam",
        "num_epochs": 5,
    }
)
WHOLE = {BEST, CHECKPOINT, METRICS}


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_after_an_epoch(out: Path, config: TrainingConfig) -> None:
    train_on_stripes(out, config, on_epoch=lambda _: _die())


def _die_within_an_epoch(out: Path, config: TrainingConfig) -> None:
    train_on_stripes(out, config, on_step=lambda step, _: _die() if step == 10 else None)


def _die_within_the_first_epoch(out: Path, config: TrainingConfig) -> None:
    train_on_stripes(out, config, on_step=lambda step, _: _die() if step == 3 else None)


def _die_while_writing_the_checkpoint(out: Path, config: TrainingConfig) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # the kernel ends whoever writes past the limit

    def limit(history: Sequence[EpochMetrics]) -> None:
        size = (out / CHECKPOINT).stat().st_size - 1000
        assert size > (out / BEST).stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    train_on_stripes(out, config, on_epoch=limit)


@pytest.mark.parametrize(
    ("death", "config", "by", "left"),
    [
        (_die_after_an_epoch, ONE_CYCLE, signal.SIGKILL, WHOLE),
        (_die_within_an_epoch, PLATEAU, signal.SIGKILL, WHOLE),
        (_die_within_the_first_epoch, PLATEAU, signal.SIGKILL, set()),
        (_die_while_writing_the_checkpoint, ONE_CYCLE, signal.SIGXFSZ, {*WHOLE, "checkpoint.tmp"}),
    ],
)
def test_a_killed_run_goes_on_to_the_same_weights(
    tmp_path: Path,
    death: Callable[[Path, TrainingConfig], None],
    config: TrainingConfig,
    by: signal.Signals,
    left: set[str],
) -> None:
    child = multiprocessing.get_context("spawn").Process(target=death, args=(tmp_path / "killed", config))
    child.start()
    child.join()
    assert child.exitcode == -by
    assert {path.name for path in (tmp_path / "killed").iterdir()} == left

    resumed = train_on_stripes(tmp_path / "killed", config, resume=True)
    whole = train_on_stripes(tmp_path / "whole", config)
    assert are_equal(resumed.network, whole.network)
    assert [line.epoch for line in resumed.history] == list(range(config.num_epochs))
    assert [(line.rate, line.losses, line.accuracy) for line in resumed.history] == [
        (line.rate, line.losses, line.accuracy) for line in whole.history
    ]
    lines = [(tmp_path / run / METRICS).read_text().splitlines() for run in ("killed", "whole")]
    assert len(lines[0]) == len(lines[1]) == config.num_epochs


def _train_on_two_threads(out: Path, source: Path, **options: Any) -> Trained:
    """A real network on real faces, whose sums two threads may round otherwise from run to run."""
    torch.set_num_threads(2)
    config = RECIPES["small-vgg"]().model_copy(update={"num_epochs": 3})
    learning = FaceExamples(read_labelled_faces(source, "train").pick(np.arange(4000)), config)
    validation = FaceExamples(read_labelled_faces(source, "public_test"), config)
    return train_classifier(config, learning, validation, out, **options)


def _die_on_two_threads(out: Path, source: Path) -> None:
    _train_on_two_threads(out, source, on_epoch=lambda _: _die())


@pytest.mark.slow
@pytest.mark.needs_shared
def test_on_several_threads_a_killed_run_comes_within_a_fifth_of_a_point(tmp_path: Path, fer2013: Path) -> None:
    child = multiprocessing.get_context("spawn").Process(target=_die_on_two_threads, args=(tmp_path / "a", fer2013))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    resumed = _train_on_two_threads(tmp_path / "a", fer2013, resume=True)
    whole = _train_on_two_threads(tmp_path / "b", fer2013)
    assert [line.epoch for line in resumed.history] == [0, 1, 2]
    assert resumed.history[-1].accuracy == pytest.approx(whole.history[-1].accuracy, abs=0.002)


def test_a_finished_run_that_is_resumed_takes_no_step_and_mends_its_metrics(tmp_path: Path) -> None:
    first = train_on_stripes(tmp_path, ONE_CYCLE)
    told = (tmp_path / METRICS).read_text()
    (tmp_path / METRICS).write_text(told.splitlines(keepends=True)[0])  # killed between checkpoint and metrics
    steps: list[int] = []
    again = train_on_stripes(tmp_path, ONE_CYCLE, resume=True, on_step=lambda step, _: steps.append(step))
    assert steps == [] and are_equal(first.network, again.network)
    assert (tmp_path / METRICS).read_text() == told


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda _: b"hello world",
        lambda _: bytes(1000),
        lambda whole: whole[:-40],
        lambda whole: whole[: len(whole) // 2] + b"\xff" * 40 + whole[len(whole) // 2 + 40 :],
        lambda whole: whole[:100] + b"\xff" * 40 + whole[140:],
        lambda whole: whole[:26] + b"\xff" + whole[27:],
        lambda whole: whole.replace(b"/data.pkl", b"/data\xff\xff\xff\xff"),
        lambda whole: whole[:-100] + b"\xff" * 60 + whole[-40:],
        lambda whole: whole.replace(b"/data/0", b"/data/x"),
    ],
    ids=["empty", "text", "zeros", "cut", "weights", "pickle", "length of a name", "name", "places", "other names"],
)
def test_a_damaged_checkpoint_is_named_and_stays(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    train_on_stripes(tmp_path, ONE_CYCLE)
    path = tmp_path / CHECKPOINT
    broken = damage(path.read_bytes())
    path.write_bytes(broken)
    with pytest.raises(ValueError, match=rf"{CHECKPOINT} is damaged or can't be read \(.+\): .* begin anew with"):
        train_on_stripes(tmp_path, ONE_CYCLE, resume=True)
    assert path.read_bytes() == broken


def test_a_frozen_run_goes_on_without_init(tmp_path: Path) -> None:
    train_on_stripes(tmp_path / "start", ONE_CYCLE)
    config = ONE_CYCLE.model_copy(update={"frozen_epochs": 1, "schedule": OneCycle(peak_rate=0.01)})
    with pytest.raises(ValueError, match="--init"):
        train_on_stripes(tmp_path / "run", config)
    assert not (tmp_path / "run").exists()
    train_on_stripes(tmp_path / "run", config, init=tmp_path / "start" / BEST)
    assert len(train_on_stripes(tmp_path / "run", config, resume=True).history) == config.num_epochs
