"""prefect.yaml and docs/scheduling.md on a real server and real workers, started and used by the page's commands."""

import configparser
import re
import shlex
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from clips import portrait_clip
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.settings.models.flows import FlowsSettings
from prefect_machine import Machine, Started
from stripes import write_stripes
from waiting import wait_until

from moodreel.tasks.discover import hash_file
from moodreel.warehouse.ask import ask
from moodreel.warehouse.lake import Lake
from moodreel.warehouse.leases import VIDEO, Leases

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "scheduling.md").read_text(encoding="utf-8")
COMMANDS = [shlex.split(line)[1:] for line in re.findall(r"^    (prefect .*)$", PAGE, re.M)]
SERVER, WORKER, DEPLOY, AUTOMATE, NIGHTLY, RERUN, MAINTAIN, TRAIN = COMMANDS
SETTINGS = dict(re.findall(r"^([A-Z_]+)=(.*)$", PAGE, re.M))


def shipped() -> Any:
    return yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))


def machine(folder: Path, within_s: int) -> Machine:
    """A machine as the page has it, with one clip, quick nights, and this patience with hearts that don't beat."""
    config = shipped()
    config["automations"][0]["trigger"]["within"] = within_s
    config["deployments"][0]["parameters"]["request"] |= {"workers": 0, "audio": False, "models": ["gan-sgdma"]}
    (folder / "prefect.yaml").write_text(yaml.safe_dump(config))
    made = Machine(folder, SETTINGS)
    portrait_clip(made.videos / "face.mp4", seconds=1)
    return made


@contextmanager
def serving(there: Machine) -> Iterator[Started]:
    with there.start(SERVER) as server:
        wait_until(there.is_up, 300, "the server answers")
        yield server


def set_up(there: Machine) -> None:
    """What the page does once server and worker are started."""
    wait_until(lambda: there.try_to(["work-pool", "inspect", "moodreel"]).returncode == 0, 120, "the worker is there")
    there.do(DEPLOY)
    there.do(AUTOMATE)


@contextmanager
def clip_held(there: Machine) -> Iterator[None]:
    """The clip is in another run's hands, so that a night waits for it."""
    with closing(Lake(there.warehouse)) as lake, Leases(lake, "another run") as leases:
        leases.take(VIDEO + hash_file(there.videos / "face.mp4"))
        yield


@dataclass(frozen=True)
class Nights:
    """Two nights: the machine of the first died, the other had to wait for its end."""

    machine: Machine
    killed: UUID
    waiting: str  # the state of the other while the first ran
    other: UUID


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nights]:
    there = machine(tmp_path_factory.mktemp("machine"), within_s=20)
    with serving(there), ExitStack() as later:
        with there.start(WORKER) as worker, clip_held(there):
            set_up(there)
            killed, other = there.trigger(NIGHTLY), there.trigger(NIGHTLY)
            wait_until(lambda: there.num_heartbeats(killed), 120, "the first night's heart beats")
            wait_until(lambda: ask(there.warehouse, "FROM runs").num_rows, 60, "the first night is in the tables")
            waiting = there.state(other)
            worker.die()
        wait_until(lambda: there.state(killed) != "Running", 60, "the first night is no longer running")
        [automation] = there.asked(lambda client: client.read_automations())
        there.asked(lambda client: client.pause_automation(automation.id))  # a heart beats every 30 s only
        (there.videos / "bad.mp4").write_text("not a video")
        later.enter_context(there.start(WORKER))
        wait_until(lambda: there.is_over(other), 300, "the other night is over")
        yield Nights(there, killed, waiting, other)


@pytest.mark.timeout(900)
@pytest.mark.slow
def test_a_run_whose_machine_died_is_shown_as_crashed(nights: Nights) -> None:
    state = nights.machine.run(nights.killed).state
    assert state is not None and state.name == "Crashed"
    assert state.message == shipped()["automations"][0]["actions"][0]["message"]


@pytest.mark.slow
def test_one_night_runs_at_a_time_and_a_dead_one_makes_way(nights: Nights) -> None:
    assert nights.waiting == "AwaitingConcurrencySlot"
    assert nights.machine.state(nights.other) == "Completed"


@pytest.mark.slow
def test_prefect_and_the_tables_tell_the_same_night(nights: Nights) -> None:
    there = nights.machine
    assert there.task_states(nights.other) == {"face.mp4": "Completed", "bad.mp4": "Failed"}
    rows, told = there.artifact(nights.other)
    assert [(row.get("dominant_emotion"), "bad.mp4" in str(row.get("failed"))) for row in rows] == [
        ("happy", False),
        (None, True),
    ]
    assert nights.other.hex in told
    runs = ask(there.warehouse, "SELECT run_id, state, purpose, num_analysed, num_failed FROM runs ORDER BY started_at")
    assert [tuple(row.values()) for row in runs.to_pylist()] == [
        (nights.killed.hex, "crashed", "nightly", None, None),
        (nights.other.hex, "completed", "nightly", 1, 1),
    ]
    [failure] = ask(there.warehouse, "SELECT parse_filename(path) AS file, reason FROM failures").to_pylist()
    assert failure == {"file": "bad.mp4", "reason": "not_a_video"}
    [video] = ask(there.warehouse, "SELECT dominant_emotion FROM video_emotions").to_pylist()
    assert video == {"dominant_emotion": "happy"}


@pytest.mark.slow
def test_the_other_deployments_do_what_their_commands_do(nights: Nights) -> None:
    there = nights.machine
    data = write_stripes(there.folder / "fer2013.parquet")
    train = [word.replace("recipe=small-vgg", "recipe=debug").replace("/srv", str(there.folder)) for word in TRAIN]
    rerun, maintain, train = there.trigger(RERUN), there.trigger(MAINTAIN), there.trigger(train)
    for run in (rerun, maintain, train):
        wait_until(lambda run=run: there.is_over(run), 300, "the run is over")
        assert there.state(run) == "Completed"
    [row], told = there.artifact(rerun)
    assert (row["num_analysed"], row["num_failed"], told) == (1, 0, "small-vgg")
    flows = ask(there.warehouse, f"SELECT flow FROM runs WHERE run_id = '{row['run_id']}'").to_pylist()
    assert flows == [{"flow": "rerun"}]
    models = ask(there.warehouse, "SELECT name FROM video_emotions JOIN models USING (model_id) ORDER BY name")
    assert models.to_pylist() == [{"name": "gan-sgdma"}, {"name": "small-vgg"}]
    sizes, told = there.artifact(maintain)
    assert [size["when"] for size in sizes] == ["before", "after"] and sizes[1]["num_files"] > 0
    assert "0 old crops" in told
    trained = ask(there.warehouse, "SELECT recipe, data, state FROM trainings").to_pylist()
    assert trained == [{"recipe": "debug", "data": str(data), "state": "completed"}]
    chosen = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[train]))
    logs = there.asked(lambda client: client.read_logs(log_filter=chosen))
    assert any("epoch 3/3" in line.message for line in logs)


@pytest.mark.slow
def test_a_deployment_without_its_warehouse_is_refused(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(nights.machine.environment, "MOODREEL_WAREHOUSE", "")
    for name in ("nightly", "rerun", "maintain", "train"):
        refused = nights.machine.try_to(["--no-prompt", "deploy", "--name", name])
        assert refused.returncode != 0 and "warehouse" in refused.stderr + refused.stdout, name


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_living_night_outlives_the_server_and_a_dead_one_crashes_though_the_server_died_too(tmp_path: Path) -> None:
    there = machine(tmp_path, within_s=80)
    with clip_held(there), serving(there) as server, there.start(WORKER) as worker:
        set_up(there)
        night = there.trigger(NIGHTLY)
        wait_until(lambda: there.num_heartbeats(night) >= 4, 240, "the night's heart beats")
        server.die()
        with serving(there) as server:
            # refused, it would end the night: a server that keeps leases in memory has forgotten it
            state = there.run(night).state
            assert state is not None
            lease = state.state_details.deployment_concurrency_lease_id
            there.asked(lambda client: client.renew_concurrency_lease(lease, 300))
            wait_until(lambda: there.num_heartbeats(night) >= 6, 120, "the night's heart beats on")
            assert there.state(night) == "Running"
            worker.die()
            server.die()
    time.sleep(80 + 65)  # Prefect alone forgets after a minute what it has waited for in vain
    with serving(there), there.start(WORKER):
        wait_until(lambda: there.state(night) == "Crashed", 60, "the night is shown as crashed")
        other = there.trigger(NIGHTLY)
        wait_until(lambda: there.is_over(other), 300, "the next night is over")
        assert there.state(other) == "Completed"
    assert ask(there.warehouse, "SELECT count(*) AS n FROM video_emotions").to_pylist() == [{"n": 1}]


def test_patience_lasts_for_three_heartbeats() -> None:
    [automation] = shipped()["automations"]
    frequency_s = FlowsSettings.model_fields["heartbeat_frequency"].default
    assert automation["trigger"]["within"] >= 3 * frequency_s
    assert f"every {frequency_s} s" in PAGE and f"for {automation['trigger']['within']} s" in PAGE


def test_the_page_lists_the_deployments() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", PAGE, re.M)
    deployments = shipped()["deployments"]
    assert [name for name, _, _ in rows] == [deployment["name"] for deployment in deployments]
    for (_, when, parameters), deployment in zip(rows, deployments, strict=True):
        assert re.findall(r"`(.*)`", when) == [schedule["cron"] for schedule in deployment.get("schedules", [])]
        for name in deployment["parameters"]:
            assert f"`{name}`" in parameters


def test_the_units_run_the_commands_of_the_page() -> None:
    units = []
    for block in re.findall(r"```ini\n(.*?)```", PAGE, re.S):
        unit = configparser.ConfigParser(interpolation=None)
        unit.optionxform = str  # type: ignore[assignment, method-assign]  # systemd knows upper and lower case
        unit.read_string(block)
        units.append(unit)
    programs = [shlex.split(unit["Service"]["ExecStart"]) for unit in units]
    assert [words[1:] for words in programs] == [SERVER, WORKER]
    home = SETTINGS["MOODREEL_HOME"]
    for unit, words in zip(units, programs, strict=True):
        assert words[0] == f"{home}/.venv/bin/prefect" and unit["Service"]["WorkingDirectory"] == home
        assert f"`{unit['Service']['EnvironmentFile']}`" in PAGE
