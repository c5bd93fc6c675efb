"""The deployment of prefect.yaml on a real server and a real worker, run by its schedule."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from clips import portrait_clip
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.objects import FlowRun

from moodreel.models.registry import DEFAULTS, read_manifest
from moodreel.warehouse.ask import ask

ROOT = Path(__file__).parents[2]
PREFECT = str(Path(sys.executable).with_name("prefect"))


@pytest.fixture
def server(prefect_home: Path, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a running Prefect server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "PREFECT_HOME": str(prefect_home),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_LOGGING_LEVEL": "INFO",
    }
    with _started([PREFECT, "server", "start", "--no-ui", "--port", str(port)], environment, tmp_path / "server.log"):
        _wait(lambda: _prefect(environment, "work-pool", "ls").returncode == 0, 90, "the server answers")
        yield environment


class _started:
    """A process with all that it starts, ended at the end."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self._log = log.open("w")
        self._process = subprocess.Popen(
            command, env=environment, stdout=self._log, stderr=self._log, start_new_session=True
        )

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:  # Prefect's worker may ignore it
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._log.close()


def _prefect(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PREFECT, *words], env=environment, capture_output=True, text=True, cwd=ROOT)


def _wait(is_so: object, seconds: float, what: str) -> None:
    until = time.monotonic() + seconds
    while not is_so():  # type: ignore[operator]  # a function without arguments
        assert time.monotonic() < until, f"waited {seconds} s in vain until {what}"
        time.sleep(1)


async def _runs(api: str) -> list[FlowRun]:
    """The runs of the deployment; other tests may have left runs of the flow itself."""
    async with PrefectClient(api) as client:
        return [run for run in await client.read_flow_runs() if run.deployment_id]


async def _report(api: str, run: FlowRun) -> tuple[dict[str, str], list[dict[str, object]]]:
    """The task runs' states by name, and the night's artifact."""
    async with PrefectClient(api) as client:
        tasks = await client.read_task_runs()
        artifacts = await client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["night"])))
        [artifact] = [artifact for artifact in artifacts if artifact.flow_run_id == run.id]
        states = {task.name: task.state_name or "" for task in tasks if task.flow_run_id == run.id}
        return states, json.loads(str(artifact.data))


@pytest.mark.timeout(400)
def test_the_schedule_starts_a_night_that_fills_the_warehouse(server: dict[str, str], tmp_path: Path) -> None:
    folder, warehouse = tmp_path / "videos", tmp_path / "warehouse"
    folder.mkdir()
    portrait_clip(folder / "face {1}.mp4", seconds=1)
    (folder / "bad.mp4").write_text("not a video")
    environment = {
        **server,
        "MOODREEL_HOME": str(tmp_path),
        "MOODREEL_FOLDER": str(folder),
        "MOODREEL_WAREHOUSE": str(warehouse),
    }
    # the shipped file with nothing changed but the hour
    deployment = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    due = datetime.now(UTC) + timedelta(seconds=25)
    deployment["deployments"][0]["schedules"] = [{"interval": 3600, "anchor_date": due.isoformat(), "timezone": "UTC"}]
    (tmp_path / "prefect.yaml").write_text(yaml.safe_dump(deployment))
    assert _prefect(environment, "work-pool", "create", "--type", "process", "moodreel").returncode == 0
    deployed = _prefect(environment, "--no-prompt", "deploy", "--all", "--prefect-file", str(tmp_path / "prefect.yaml"))
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr

    api = server["PREFECT_API_URL"]
    worker = [PREFECT, "worker", "start", "--pool", "moodreel"]
    with _started(worker, environment, tmp_path / "worker.log"):
        _wait(lambda: any(_is_over(run) for run in asyncio.run(_runs(api))), 240, "a scheduled run is over")
    [night] = [run for run in asyncio.run(_runs(api)) if _is_over(run)]
    assert night.auto_scheduled and night.created_by is not None and night.created_by.type == "SCHEDULE"
    assert night.state_name == "Completed", (tmp_path / "worker.log").read_text()[-2000:]
    states, table = asyncio.run(_report(api, night))
    assert states == {"face (1).mp4": "Completed", "bad.mp4": "Failed"}
    assert [(row.get("dominant_emotion"), "failed" in row) for row in table] == [("happy", False), (None, True)]
    rows = ask(warehouse, "SELECT model_id, dominant_emotion, num_people FROM video_emotions").to_pylist()
    assert {row["model_id"] for row in rows} == {read_manifest(name).model_id for name in DEFAULTS["face"]}
    assert {row["num_people"] for row in rows} == {1} and "happy" in {row["dominant_emotion"] for row in rows}
    [run] = ask(warehouse, "SELECT run_id, purpose, state, num_failed FROM runs").to_pylist()
    assert run == {"run_id": night.id.hex, "purpose": "nightly", "state": "completed", "num_failed": 1}


def _is_over(run: FlowRun) -> bool:
    return run.state is not None and run.state.is_final()
