"""A machine with Prefect's server and worker as real processes, which can lose its power."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
from killing import end
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import FlowRun
from waiting import free_port

PREFECT = str(Path(sys.executable).with_name("prefect"))


class Started:
    """A `prefect` command that goes on in the background, ended with all that it started."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._log = log.open("a")
        self._process = subprocess.Popen(
            [PREFECT, *words], env=environment, stdout=self._log, stderr=self._log, start_new_session=True
        )

    def __enter__(self) -> "Started":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:  # Prefect's worker may ignore it
                self.die()
        self._log.close()

    def die(self) -> None:
        """kill -9, the process and all below it, as when the machine loses its power."""
        everything = [psutil.Process(self._process.pid), *psutil.Process(self._process.pid).children(recursive=True)]
        end(everything)
        self._process.wait()
        psutil.wait_procs(everything, timeout=10)


class Machine:
    """Settings, a folder of videos, and whatever `prefect` commands are started or asked there."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        """Put all that it keeps into `folder`, and Prefect on a port of its own."""
        self.folder, self.videos, self.warehouse = folder, folder / "videos", folder / "warehouse"
        self.videos.mkdir()
        port = str(free_port())
        self.environment = {
            **os.environ,
            **settings,
            "MOODREEL_HOME": str(folder),
            "MOODREEL_FOLDER": str(self.videos),
            "MOODREEL_WAREHOUSE": str(self.warehouse),
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
            "PREFECT_SERVER_API_PORT": port,
            "PREFECT_SERVER_UI_ENABLED": "false",
            "PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY": "PT1S",
            "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "2",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",  # there are none quicker
            "PREFECT_LOGGING_LEVEL": "INFO",
        }

    def start(self, words: Sequence[str]) -> Started:
        """Start `prefect WORDS` in the background."""
        return Started(words, self.environment, self.folder / f"{words[0]}.log")

    def try_to(self, words: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        """Run `prefect WORDS` to its end."""
        return subprocess.run([PREFECT, *words], env=self.environment, capture_output=True, text=True, cwd=self.folder)

    def do(self, words: Sequence[str]) -> str:
        """Run `prefect WORDS`, which has to work; return what it printed."""
        done = self.try_to(words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def trigger(self, words: Sequence[str]) -> UUID:
        """Run a deployment by `prefect WORDS`; return the id of the flow run."""
        found = re.search(r"UUID: (\S+)", self.do(words))
        assert found is not None
        return UUID(found[1])

    def asked(self, question: Callable[[PrefectClient], Any]) -> Any:
        """Return what the server answers to a question in its own API."""

        async def ask() -> Any:
            async with PrefectClient(self.environment["PREFECT_API_URL"]) as client:
                return await question(client)

        return asyncio.run(ask())

    def is_up(self) -> bool:
        """Say whether the server answers."""
        return self.asked(lambda client: client.api_healthcheck()) is None

    def run(self, run_id: UUID) -> FlowRun:
        """Return a flow run as the server sees it."""
        run: FlowRun = self.asked(lambda client: client.read_flow_run(run_id))
        return run

    def state(self, run_id: UUID) -> str:
        """Return the name of a flow run's state."""
        return str(self.run(run_id).state_name)

    def is_over(self, run_id: UUID) -> bool:
        """Say whether a flow run has come to an end, whichever."""
        state = self.run(run_id).state
        return state is not None and state.is_final()

    def task_states(self, run_id: UUID) -> dict[str, str]:
        """Return the states of a run's tasks, by name."""
        tasks = self.asked(lambda client: client.read_task_runs())
        return {task.name: task.state_name for task in tasks if task.flow_run_id == run_id}

    def artifact(self, run_id: UUID) -> tuple[list[dict[str, Any]], str]:
        """Return the rows of a run's only artifact, and what it says about them."""
        chosen = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
        [artifact] = self.asked(lambda client: client.read_artifacts(artifact_filter=chosen))
        return json.loads(artifact.data), artifact.description

    def num_heartbeats(self, run_id: UUID) -> int:
        """Return how many of a run the server has seen."""
        chosen = {"event": {"name": ["prefect.flow-run.heartbeat"]}, "resource": {"id": [f"prefect.flow-run.{run_id}"]}}

        async def question(client: PrefectClient) -> int:
            answer = await client._client.post("/events/filter", json={"filter": chosen})
            return int(answer.json()["total"])

        return int(self.asked(question))
