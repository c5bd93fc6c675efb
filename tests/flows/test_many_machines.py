"""A Ray cluster of two nodes, each a raylet with workers of its own; one of them dies in the middle of the night."""

import json
import os
import subprocess
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import psutil
import pytest
from clips import portrait_clip
from commands import MOODREEL
from lakes import all_rows
from ray.cluster_utils import Cluster
from two_networks import two_machines

from moodreel.flows.run import run_night
from moodreel.schemas.config import NightRequest
from moodreel.warehouse.ask import ask

NUM_CLIPS = 6


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100_000_000})
    made.add_node(num_cpus=1, object_store_memory=100_000_000)
    yield made
    made.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_cluster_without_a_token_is_told_of(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    portrait_clip(tmp_path / "videos" / "0.mp4", seconds=1)
    command = [MOODREEL, "run", str(tmp_path / "videos"), "--warehouse", str(tmp_path / "lake")]
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
    night = subprocess.run(
        command, env={**os.environ, "RAY_ADDRESS": cluster.address} | token, capture_output=True, text=True
    )
    assert night.returncode != 0
    assert "set RAY_AUTH_MODE=disabled" in night.stderr.splitlines()[-1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Clips enough for two nodes."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(NUM_CLIPS):
        portrait_clip(folder / f"{number}.mp4", seconds=4 + number)
    return folder


def begin_night(folder: Path, address: str) -> "subprocess.Popen[str]":
    """Start a night on a cluster that has no token, and return when it has analysed a video."""
    command = [MOODREEL, "run", str(folder), "--warehouse", str(folder.parent / "lake"), "--json"]
    environment = {**os.environ, "RAY_ADDRESS": address, "RAY_AUTH_MODE": "disabled"}
    night = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert night.stderr is not None
    said_so_far = list(takewhile(lambda line: not line.startswith("1/6"), night.stderr))
    assert night.poll() is None, said_so_far
    return night


def end_night(night: "subprocess.Popen[str]", folder: Path) -> None:
    """Compare with an undisturbed night."""
    said = json.loads(night.communicate()[0])
    assert (night.returncode, said["num_analysed"], said["num_failed"]) == (0, NUM_CLIPS, 0)
    lake, undisturbed = folder.parent / "lake", folder.parent / "undisturbed"
    assert ask(lake, "SELECT DISTINCT reason FROM failures").to_pylist() == [{"reason": "worker_lost"}]
    run_night(NightRequest(folder=str(folder), warehouse=str(undisturbed), workers=0))
    one, other = all_rows(lake), all_rows(undisturbed)
    for table in ("faces", "frames", "face_emotions", "audio_windows", "crops", "steps", "videos", "face_tallies"):
        assert one[table] == other[table], table


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_loss_of_a_node_costs_no_video(cluster: Cluster, folder: Path, prefect_home: Path) -> None:
    night = begin_night(folder, cluster.address)
    [node] = cluster.worker_nodes
    [raylet] = [each.process for each in node.all_processes["raylet"]]
    workers = [each for each in psutil.Process(raylet.pid).children() if "Analyst" in each.name()]
    assert workers, "the second node does part of the work"
    cluster.remove_node(node, allow_graceful=False)
    end_night(night, folder)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_node_that_nobody_hears_of_any_more_costs_no_video(folder: Path, prefect_home: Path) -> None:
    """Its cable is pulled: it goes on, and no connection is closed."""
    with two_machines(folder.parent, {**os.environ, "RAY_AUTH_MODE": "disabled"}) as machines:
        night = begin_night(folder, machines.address)
        assert machines.far_actors(), "the second node does part of the work"
        machines.pull_the_cable()
        end_night(night, folder)
