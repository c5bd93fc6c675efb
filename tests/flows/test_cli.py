import inspect
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from commands import command, moodreel

from moodreel.flows import cli
from moodreel.flows.cli import EXIT_INTERRUPTED
from moodreel.models.registry import DEFAULTS, REGISTERED, read_manifest
from moodreel.schemas.config import NightRequest, PictureConfig
from moodreel.schemas.tables import TABLES
from moodreel.warehouse.ask import TIMEOUT_S, ask

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def analysed(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """A warehouse over the clips, made without Ray, and what the run said."""
    warehouse = tmp_path_factory.mktemp("warehouse")
    run = moodreel("run", str(clips), "--warehouse", str(warehouse), "--workers", "0", "--json")
    assert run.returncode == 3, run.stderr
    return warehouse, json.loads(run.stdout)


def test_help_answers_at_once() -> None:
    moodreel("--help")
    taken = []
    for _ in range(3):  # the quickest counts: other tests run beside this one
        started = time.monotonic()
        help_text = moodreel("--help")
        taken.append(time.monotonic() - started)
    assert min(taken) < 0.5
    assert help_text.returncode == 0 and "analyse at night" in help_text.stdout


def test_the_options_are_those_we_decided_on() -> None:
    """A new option is a decision: add it here, and a test that it has an effect."""
    expected = {
        "run": "--warehouse --models --features --sample-fps --min-face-px --decoder --no-audio --workers --purpose"
        " --exception --json",
        "rerun": "--models --warehouse --purpose --exception --json",
        "sql": "--warehouse --format --output --timeout",
        "notice": "--language --controller --purpose --exception",
        "failures": "--warehouse --json",
        "failures retry": "--all --warehouse",
        "maintain": "--warehouse --keep-crops-days --keep-snapshots-days --json",
        "erase": "--warehouse --json",
        "models add": "--force",
        "models": "--json --cards",
        "doctor": "--json",
        "train": "--data --out --name --set --resume --init --find-rate --warehouse",
        "evaluate": "--data --split --as --by-votes --output --folds --runs --json",
        "reproduce": "--data --out --epochs --resume",
    }
    for name, options in expected.items():
        found = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", moodreel(*name.split(), "--help").stdout)) - {"--help"}
        assert found == set(options.split()), name


def defaults(command: Callable[..., None]) -> dict[str, object]:
    return {name: parameter.default for name, parameter in inspect.signature(command).parameters.items()}


def test_what_is_not_given_is_as_declared_elsewhere() -> None:
    of_run, of_night = defaults(cli.run), NightRequest(folder="x")
    for name in ("models", "features", "sample_fps", "min_face_px", "decoder", "workers", "exception"):
        assert (of_run[name] or None) == (getattr(of_night, name) or None), name
    assert str(of_run["warehouse"]) == of_night.warehouse and of_run["no_audio"] is not of_night.audio
    picture = PictureConfig()
    assert (of_night.sample_fps, of_night.min_face_px, of_night.decoder) == (
        picture.sample_fps,
        picture.min_face_px,
        picture.decoder,
    )
    assert defaults(cli.sql)["timeout"] == TIMEOUT_S
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    [maintain] = [each["parameters"] for each in deployments if each["name"] == "maintain"]
    for name in ("keep_crops_days", "keep_snapshots_days"):
        assert maintain[name] == defaults(cli.maintain)[name]
    page = (ROOT / "docs" / "upkeep.md").read_text(encoding="utf-8")
    assert f"({maintain['keep_snapshots_days']} unless said otherwise)" in page


def test_json_is_all_that_is_printed_and_adds_up(analysed: tuple[Path, dict[str, object]]) -> None:
    _, said = analysed
    assert set(said) == {
        *("run_id", "num_videos", "num_analysed", "num_skipped", "num_failed", "num_ignored"),
        *("seconds", "video_seconds"),
    }
    counts = [said[name] for name in ("num_videos", "num_analysed", "num_skipped", "num_failed", "num_ignored")]
    assert counts == [4, 3, 0, 1, 1]


def test_a_second_run_does_nothing_in_seconds(clips: Path, analysed: tuple[Path, dict[str, object]]) -> None:
    warehouse, _ = analysed
    started = time.monotonic()
    run = moodreel("run", str(clips), "--warehouse", str(warehouse), "--json")
    assert time.monotonic() - started < 15
    said = json.loads(run.stdout)
    assert (run.returncode, said["num_analysed"], said["num_skipped"], said["num_failed"]) == (0, 0, 4, 0)


def test_sql_in_every_format(analysed: tuple[Path, dict[str, object]], tmp_path: Path) -> None:
    warehouse, _ = analysed
    query = (
        "SELECT parse_filename(path) AS file, dominant_emotion, num_people FROM video_emotions"
        f" WHERE model_id = '{read_manifest(DEFAULTS['face'][0]).model_id}' ORDER BY file"
    )

    def asked(*words: str) -> str:
        answer = moodreel("sql", query, "--warehouse", str(warehouse), *words)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    rows = json.loads(asked("--format", "json"))
    assert [row["file"] for row in rows] == ["Gespräch 1.mp4", "mute.mkv", "numbers.mov"]
    assert [(row["dominant_emotion"], row["num_people"]) for row in rows] == [("happy", 1), ("happy", 1), (None, 0)]
    assert asked("--format", "csv").splitlines()[-1] == "numbers.mov,,0"
    assert "Gespräch 1.mp4" in asked()
    asked("-o", str(tmp_path / "a.parquet"))
    assert pq.read_table(tmp_path / "a.parquet").to_pylist() == rows
    asked("--format", "csv", "-o", str(tmp_path / "a.txt"))
    assert (tmp_path / "a.txt").read_text().startswith("file,dominant_emotion")


def test_tables_hold_what_the_run_found(analysed: tuple[Path, dict[str, object]]) -> None:
    warehouse, _ = analysed

    def asked(query: str) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = ask(warehouse, query).to_pylist()
        return rows

    steps = asked(
        "SELECT parse_filename(path) AS file, outcome FROM steps JOIN videos USING (video_id)"
        " WHERE step = 'audio_windows' ORDER BY file"
    )
    assert [row["outcome"] for row in steps] == ["ok", "none", "none"]
    [failure] = asked("SELECT reason, retryable, stage, attempt FROM failures")
    assert failure == {"reason": "not_a_video", "retryable": False, "stage": "probe", "attempt": 1}
    assert asked("SELECT len(features) AS n FROM audio_windows LIMIT 1") == [{"n": 1582}]
    for name, table in TABLES.items():
        assert asked(f"SELECT * FROM {name} LIMIT 0") == []
        assert table.columns


def test_models_tells_accuracy_and_licences() -> None:
    text = " ".join(moodreel("models").stdout.split())
    assert "inception-resnet-v2" in text and "openSMILE" in text and "not for commercial" in text
    [model, *_] = json.loads(moodreel("models", "--json").stdout)["models"]
    assert model["metrics"]["public_test_accuracy"] >= 0.6


def test_models_writes_the_cards_instead(tmp_path: Path) -> None:
    assert moodreel("models", "--cards", str(tmp_path / "new" / "cards")).stdout == ""
    assert {path.stem for path in (tmp_path / "new" / "cards").iterdir()} == set(REGISTERED)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("run", "no/such/folder"), "name one that holds videos"),
        (("run", ".", "--models", "none"), "registered are: inception-resnet-v2"),
        (("run", ".", "--sample-fps", "0"), "sample_fps"),
        (("run", ".", "--decoder", "vlc"), "decord"),
        (("run",), "folder"),
        (("sql", "SELECT 1", "--warehouse", "no/warehouse"), "moodreel run FOLDER"),
        (("sql", "SELECT 1", "--format", "parquet"), "needs -o FILE"),
        (("sql", "SELECT 1", "-o", "answer.xlsx"), "say so by its ending or by --format"),
        (("sql", "SELECT 1", "-o", "answer.csv", "--format", "table"), "can be csv, json or parquet"),
        (("sql", "SELECT 1", "-o", "no/folder/answer.csv"), "no/folder is no folder"),
        (("models", "--json", "--cards", "cards"), "leave one of them out"),
        (("evaluate", "small-vgg", "--data", ".", "--runs", "r"), "no meaning without --folds"),
        (("train", "none", "--data", "x"), "there are: inception-resnet-v2"),
        (("evaluate", "inception-resnet-v2", "--data", "no/file"), "no such file"),
        (("reproduce", "gan-sgdma", "--data", "no/file"), "no such file"),
        (("reproduce", "everything", "--data", "x"), "optimizers"),
        (("evaluate", "none", "--data", "."), "no model 'none'"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(
    tmp_path: Path, words: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = command(monkeypatch, capfd, *words)
    assert code == 2
    assert says in err and out == ""
    assert len(err.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == [] or words[0] == "run"


def test_ctrl_c_is_one_line_and_exit_130() -> None:
    """In a process of its own: those of the tests leave the signal to the one that started them."""
    code = """
import signal, sys, typer
from moodreel.flows.cli import _guarded
signal.signal(signal.SIGINT, signal.default_int_handler)
interrupted = typer.Typer()
interrupted.command()(lambda: signal.raise_signal(signal.SIGINT))
sys.exit(_guarded(interrupted))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == EXIT_INTERRUPTED
    assert ended.stderr == "moodreel: interrupted; what was committed stays, the next run goes on\n"
