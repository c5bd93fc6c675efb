"""The deployment of prefect.yaml on a real server and a real worker, run by its schedule."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from clips import portrait_clip
from prefect.client.schemas.objects import FlowRun
from prefect_machine import Machine
from waiting import wait_until

from moodreel.models.registry import DEFAULTS, read_manifest
from moodreel.warehouse.ask import ask

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(400)
def test_the_schedule_starts_a_night_that_fills_the_warehouse(tmp_path: Path) -> None:
    there = Machine(tmp_path, {"PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5"})
    portrait_clip(there.videos / "face {1}.mp4", seconds=1)
    (there.videos / "bad.mp4").write_text("not a video")

    with there.start(["server", "start"]):
        wait_until(there.is_up, 300, "the server answers")
        there.do(["work-pool", "create", "--type", "process", "moodreel"])
        # the shipped file with nothing changed but the hour
        config = yaml.safe_load((ROOT / "prefect.yaml").read_text())
        due = datetime.now(UTC) + timedelta(seconds=25)
        config["deployments"][0]["schedules"] = [{"interval": 3600, "anchor_date": due.isoformat(), "timezone": "UTC"}]
        (tmp_path / "prefect.yaml").write_text(yaml.safe_dump(config))
        there.do(["--no-prompt", "deploy", "--name", "nightly"])
        with there.start(["worker", "start", "--pool", "moodreel"]):
            wait_until(lambda: any(_is_over(run) for run in _runs(there)), 240, "a scheduled run is over")
        [night] = [run for run in _runs(there) if _is_over(run)]
        states, (table, _) = there.task_states(night.id), there.artifact(night.id)
    assert night.auto_scheduled and night.created_by is not None and night.created_by.type == "SCHEDULE"
    assert night.state_name == "Completed", (tmp_path / "worker.log").read_text()[-2000:]
    assert states == {"face (1).mp4": "Completed", "bad.mp4": "Failed"}
    assert [(row.get("dominant_emotion"), "failed" in row) for row in table] == [("happy", False), (None, True)]
    warehouse = there.warehouse
    rows = ask(warehouse, "SELECT model_id, dominant_emotion, num_people FROM video_emotions").to_pylist()
    assert {row["model_id"] for row in rows} == {read_manifest(name).model_id for name in DEFAULTS["face"]}
    assert {row["num_people"] for row in rows} == {1} and "happy" in {row["dominant_emotion"] for row in rows}
    [run] = ask(warehouse, "SELECT run_id, purpose, state, num_failed FROM runs").to_pylist()
    assert run == {"run_id": night.id.hex, "purpose": "nightly", "state": "completed", "num_failed": 1}


def _runs(there: Machine) -> list[FlowRun]:
    runs: list[FlowRun] = there.asked(lambda client: client.read_flow_runs())
    return runs


def _is_over(run: FlowRun) -> bool:
    return run.state is not None and run.state.is_final()
