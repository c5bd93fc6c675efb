"""`moodreel train` as a user runs it, on pictures that a debug network learns in seconds."""

import json
import os
import pickle
import pty
import re
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from commands import MOODREEL
from filelock import FileLock
from other_model import other_model
from stripes import write_stripes

from moodreel.flows.cli import EXIT_FAILED, EXIT_USAGE, _guarded, app
from moodreel.flows.training import run_training
from moodreel.flows.training_order import TrainingOrder
from moodreel.flows.training_record import LOCK
from moodreel.models.networks import build_network
from moodreel.models.packing import load_weights
from moodreel.schemas.labels import LABELS
from moodreel.schemas.manifest import Manifest
from moodreel.schemas.training import BEST, Cosine, Distillation, Steps, TrainingConfig
from moodreel.tasks.learning.calibration import calibrate
from moodreel.tasks.learning.checkpoint import CHECKPOINT, load_best
from moodreel.tasks.learning.examples import FaceExamples
from moodreel.tasks.learning.identity import IDENTITY
from moodreel.tasks.learning.labelled import VOTE_COLUMNS, read_labelled_faces
from moodreel.tasks.learning.recipes import RECIPES, debug
from moodreel.tasks.learning.train import METRICS, predict
from moodreel.warehouse.ask import ask

ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stripes(tmp_path_factory.mktemp("data") / "stripes.parquet")


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Register a recipe for the time of a test."""

    def register(**settings: object) -> TrainingConfig:
        config = TrainingConfig.model_validate(debug().model_dump() | settings)
        monkeypatch.setitem(RECIPES, "tried", lambda: config)
        return config

    return register


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


@pytest.fixture
def moodreel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command line in this process, which has torch loaded already, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)

    def run(*words: str) -> Said:
        capsys.readouterr()
        code = _guarded(lambda **mode: app(list(words), **mode))
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return run


def rows(warehouse: Path, query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(warehouse, query).to_pylist()
    return found


def test_a_killed_training_goes_on_under_its_id_and_every_epoch_is_told_once(
    tmp_path: Path, data: Path, moodreel: Any
) -> None:
    words = ("train", "debug", "--data", str(data))
    child = subprocess.Popen([MOODREEL, *words], cwd=tmp_path, stderr=subprocess.DEVNULL, env=ONE_THREAD)
    folder, warehouse = tmp_path / "runs" / "debug", tmp_path / "warehouse-data"
    while not (folder / CHECKPOINT).exists() and child.poll() is None:
        time.sleep(0.001)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    [killed] = rows(warehouse, "SELECT training_id, state FROM trainings")
    assert killed["state"] == "running"

    assert "--resume" in moodreel(*words).err
    resumed = moodreel(*words, "--resume")
    assert resumed.code == 0, resumed.err
    assert resumed.out == "" and "epoch 3/3" in resumed.err
    [row] = rows(warehouse, "SELECT *, config->>'network' AS network FROM trainings")
    assert (row["training_id"], row["state"], row["recipe"]) == (killed["training_id"], "completed", "debug")
    assert (row["data"], row["init"], row["network"]) == (str(data), None, "debug-cnn")
    assert row["model_id"] in resumed.err and row["finished_at"] > row["started_at"]
    told = [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]
    kept = rows(warehouse, "SELECT * FROM training_epochs ORDER BY epoch")
    assert [line["epoch"] for line in kept] == [0, 1, 2]
    assert {line.pop("training_id") for line in kept} == {row["training_id"]}
    assert [{**line, "losses": json.loads(line["losses"])} for line in kept] == told


def test_a_terminal_shows_a_bar_with_an_estimate(tmp_path: Path, data: Path) -> None:
    terminal, its_end = pty.openpty()
    words = [MOODREEL, "train", "debug", "--data", str(data), "--warehouse", "w"]
    environment = {**ONE_THREAD, "TERM": "xterm", "COLUMNS": "100"}
    child = subprocess.Popen(words, cwd=tmp_path, stderr=its_end, stdout=subprocess.DEVNULL, env=environment)
    os.close(its_end)
    shown = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # the child has closed its end
            break
        shown += part
    os.close(terminal)
    assert child.wait() == 0
    text = shown.decode()
    assert "left" in text and "100 %" in text and "\x1b[" in text
    assert all(f"epoch {number}/3: loss class" in text for number in (1, 2, 3))


def test_find_rate_draws_proposes_and_trains_nothing(tmp_path: Path, data: Path, moodreel: Any) -> None:
    found = moodreel("train", "debug", "--data", str(data), "--find-rate", "--out", "r")
    assert found.code == 0, found.err
    assert {path.name for path in (tmp_path / "r").iterdir()} == {"rate_finder.png", "rate_finder.json"}
    assert {path.name for path in tmp_path.iterdir()} == {"r"}
    numbers = json.loads((tmp_path / "r" / "rate_finder.json").read_text())
    assert f"rate of {numbers['chosen_rate']:.2g};" in found.out and len(found.out.splitlines()) == 1
    assert (tmp_path / "r" / "rate_finder.png").read_bytes().startswith(b"\x89PNG")

    both = moodreel("train", "debug", "--data", str(data), "--find-rate", "--resume")
    assert both.code == EXIT_USAGE and "leave one of them out" in both.err


def test_a_diverging_run_is_one_line_and_keeps_its_last_whole_epoch(
    tmp_path: Path, data: Path, recipe: Any, moodreel: Any
) -> None:
    recipe(optimizer="sgd", schedule=Steps(rates=((8, 0.01), (13, 1e30))))
    run = moodreel("train", "tried", "--data", str(data), "--out", "run", "--warehouse", "w")
    out, warehouse = tmp_path / "run", tmp_path / "w"
    assert run.code == EXIT_FAILED
    [epoch, last] = run.err.splitlines()
    assert epoch.startswith("epoch 1/3")
    assert "tried diverged" in last and "--find-rate" in last and "run keeps" in last
    assert {path.name for path in out.iterdir()} == {IDENTITY, CHECKPOINT, METRICS, BEST, LOCK}
    assert len((out / METRICS).read_text().splitlines()) == 1
    assert rows(warehouse, "SELECT state, model_id FROM trainings") == [{"state": "failed", "model_id": None}]


def test_other_data_or_another_recipe_do_not_go_on_in_a_run(tmp_path: Path, data: Path, recipe: Any) -> None:
    recipe(num_epochs=1)
    run_training(TrainingOrder("tried", data, tmp_path / "r", tmp_path / "w"))
    other = write_stripes(tmp_path / "other.parquet", 105)
    with pytest.raises(ValueError, match="on other data"):
        run_training(TrainingOrder("tried", other, tmp_path / "r", tmp_path / "w", resume=True))
    recipe(num_epochs=1, schedule=Cosine(rate=0.01))
    with pytest.raises(ValueError, match="another recipe"):
        run_training(TrainingOrder("tried", data, tmp_path / "r", tmp_path / "w", resume=True))
    assert len(rows(tmp_path / "w", "FROM trainings")) == 1


def test_init_is_kept_in_the_row(tmp_path: Path, data: Path, recipe: Any) -> None:
    recipe(num_epochs=1)
    run_training(TrainingOrder("tried", data, tmp_path / "a", tmp_path / "w"))
    init = tmp_path / "a" / "tried.safetensors"
    run_training(TrainingOrder("tried", data, tmp_path / "b", tmp_path / "w", init=init))
    found = rows(tmp_path / "w", "SELECT init FROM trainings ORDER BY started_at")
    assert [row["init"] for row in found] == [None, str(init)]


def test_a_run_goes_on_from_its_own_start_weights_alone(tmp_path: Path, data: Path, recipe: Any) -> None:
    recipe(num_epochs=1)
    for name, seed in (("a", 0), ("b", 1)):
        recipe(num_epochs=1, seed=seed)
        run_training(TrainingOrder("tried", data, tmp_path / name, tmp_path / "w"))
    first, other = tmp_path / "a" / "tried.safetensors", tmp_path / "b" / "tried.safetensors"
    run = TrainingOrder("tried", data, tmp_path / "c", tmp_path / "w", init=first)
    run_training(run)
    for init in (None, other):
        with pytest.raises(ValueError, match="c holds a run with another --init or none"):
            run_training(replace(run, init=init, resume=True))
    (tmp_path / "c" / CHECKPOINT).unlink()  # killed in its first epoch: random weights would take the given ones' place
    with pytest.raises(ValueError, match="another --init"):
        run_training(replace(run, init=None, resume=True))
    run_training(replace(run, resume=True))
    assert [row["init"] for row in rows(tmp_path / "w", "FROM trainings WHERE init IS NOT NULL")] == [str(first)]


def test_a_run_goes_on_under_its_own_teachers_alone(tmp_path: Path, data: Path, recipe: Any) -> None:
    with other_model(tmp_path) as teacher:
        recipe(num_epochs=1, distillation=Distillation(teachers=(teacher.name,)))
        run = TrainingOrder("tried", data, tmp_path / "r", tmp_path / "w")
        run_training(run)
        run_training(replace(run, resume=True))
    with other_model(tmp_path, temperature=2.0), pytest.raises(ValueError, match="learns from another debug"):
        run_training(replace(run, resume=True))


def test_two_trainings_never_share_a_folder(tmp_path: Path, data: Path, moodreel: Any) -> None:
    (tmp_path / "r").mkdir()
    with FileLock(tmp_path / "r" / LOCK):
        run = moodreel("train", "debug", "--data", str(data), "--out", "r")
    assert run.code == EXIT_USAGE and "r: another training is at work there" in run.err
    assert {path.name for path in (tmp_path / "r").iterdir()} <= {LOCK}
    assert rows(tmp_path / "warehouse-data", "FROM trainings") == []


def test_what_a_training_leaves_out_is_told(tmp_path: Path, data: Path, moodreel: Any) -> None:
    table = pq.read_table(data).to_pydict()
    table["label_name"] = [name.upper() if number < 3 else name for number, name in enumerate(table["label_name"])]
    pq.write_table(pa.table(table), tmp_path / "shouted.parquet")
    run = moodreel("train", "debug", "--data", "shouted.parquet", "--set", "num_epochs=1")
    assert run.code == 0, run.err
    assert "shouted.parquet: 2 training pictures left out, their label is none of the seven: " in run.err
    [told] = re.findall(r"shouted\.parquet: 1 pictures to measure on left out, .* seven: (\w+) \(1\)", run.err)
    assert told in {label.upper() for label in LABELS}


def test_the_figures_of_a_manifest_are_those_of_the_weights_as_they_ship(
    tmp_path: Path, data: Path, moodreel: Any
) -> None:
    assert moodreel("train", "debug", "--data", str(data), "--out", "r").code == 0
    manifest = Manifest.model_validate(tomllib.loads((tmp_path / "r" / "debug.toml").read_text()))
    network = build_network(manifest.network)
    network.load_state_dict(load_weights(tmp_path / "r" / manifest.weights, LABELS))
    faces, config = read_labelled_faces(data, "public_test"), debug()
    probabilities = predict(network, FaceExamples(faces, config), config)
    calibration = calibrate(probabilities, faces.labels)
    assert manifest.temperature == round(calibration.temperature, 4)
    assert manifest.metrics["public_test_ece"] == round(calibration.ece, 4)
    kept = load_best(tmp_path / "r")
    assert not all(torch.equal(tensor, kept[name]) for name, tensor in network.state_dict().items()), "not rounded"


def test_settings_and_name_of_a_training_can_differ_from_the_recipes(tmp_path: Path, data: Path, moodreel: Any) -> None:
    changes = ("--set", "seed=5", "--set", "num_epochs=1", "--set", "augmentation.rotation_deg=0.5")
    run = moodreel("train", "debug", "--data", str(data), "--name", "mine", *changes)
    assert run.code == 0, run.err
    folder = tmp_path / "runs" / "mine"
    config = json.loads((folder / IDENTITY).read_text())["config"]
    assert (config["seed"], config["augmentation"]["rotation_deg"]) == (5, 0.5)
    expected = debug().model_dump(mode="json")
    assert {key for key in expected if config[key] != expected[key]} == {"seed", "num_epochs", "augmentation"}
    manifest = Manifest.model_validate(tomllib.loads((folder / "mine.toml").read_text()))
    assert (manifest.name, manifest.weights) == ("mine", "mine.safetensors")
    [told] = manifest.training
    assert told.command == f"moodreel train debug --data {data.name} --name mine {' '.join(changes)}"


def test_what_learns_votes_alone_is_measured_by_them(tmp_path: Path, data: Path, moodreel: Any) -> None:
    table = pq.read_table(data)
    labels = [LABELS.index(name) for name in table["label_name"].to_pylist()]
    votes = {name: [9.0 * ((label + 1) % 7 == i) for label in labels] for i, name in enumerate(VOTE_COLUMNS)}
    pq.write_table(pa.table({**table.to_pydict(), **votes}), tmp_path / "voted.parquet")
    run = moodreel("train", "debug", "--data", "voted.parquet", "--set", "vote_share=1.0")
    assert run.code == 0, run.err
    manifest = Manifest.model_validate(tomllib.loads((tmp_path / "runs" / "debug" / "debug.toml").read_text()))
    assert manifest.measured_with.endswith(" --split public_test --by-votes")
    assert manifest.trained_on == "voted.parquet train, FER+ votes in place of its labels"
    assert manifest.licence == "that of voted.parquet, which it learnt from"
    assert manifest.metrics["public_test_by_votes_accuracy"] > 0.3, "not one label is what was voted"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--set", "sed=1"), "--set: sed: Extra inputs are not permitted"),
        (("--set", "seed=one"), "--set: seed: Input should be a valid integer"),
        (("--set", "vote_share=1.0"), "no face has a commonest answer of taggers"),
        (("--set", "seed"), "write NAME=VALUE"),
        (("--set", "seed.low=1"), "seed is a value"),
        (("--name", "../mine"), "only letters"),
        (("--name", "best"), "a run keeps its best epoch in best.safetensors"),
        (("--out", "a.pt"), "a.pt is a file: name a folder"),
        (("--set", "adversarial={}"), "debug-cnn has no denoiser and no critic"),
        (("--set", "network=lstm", "--set", "input_px=64"), "lstm can't take what this recipe gives it: "),
        (("--init", "a.pt"), "pickled weights"),
        (("--init", "none.safetensors"), "no such file"),
        (("--warehouse", "a.pt"), "name another --warehouse"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(
    tmp_path: Path, data: Path, moodreel: Any, words: tuple[str, ...], says: str
) -> None:
    (tmp_path / "a.pt").write_bytes(pickle.dumps({"weight": [1.0]}))
    run = moodreel("train", "debug", "--data", str(data), *words)
    assert run.code == EXIT_USAGE
    assert says in run.err and len(run.err.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a.pt"]


def test_a_training_has_all_processors() -> None:
    # silero-vad takes them all but one when it is imported
    count = "print(torch.get_num_threads())"
    script = f"import torch; {count}; import moodreel.flows.training; {count}"
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    told = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True)
    before, after = told.stdout.split()
    assert before == after
