"""A Ray cluster of two nodes in networks of their own, with a cable between them: Linux's network namespaces."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil
import pytest
from killing import end
from waiting import wait_until

_RAY: Final = str(Path(sys.executable).with_name("ray"))
_FAR: Final = "moodreel-far"  # the namespace, the second machine
_ENDS: Final = ("moodreel-near", "moodreel-end")  # of the cable, here and there
_NEAR_IP, _FAR_IP, _PORT = "10.213.0.1", "10.213.0.2", 6399
_NODE: Final = ("--num-cpus", "1", "--object-store-memory", "100000000", "--disable-usage-stats", "--block")


class TwoMachines:
    """The cluster and its cable."""

    address: Final = f"{_NEAR_IP}:{_PORT}"

    def pull_the_cable(self) -> None:
        """The far machine goes on, and nobody hears of it."""
        _ip("link", "set", _ENDS[0], "down")

    def far_actors(self) -> list[psutil.Process]:
        """Return the workers of the far machine, known by their network."""
        own = os.stat(f"/run/netns/{_FAR}").st_ino
        actors = [each for each in psutil.process_iter() if each.name().startswith("ray::Analyst")]
        return [each for each in actors if os.stat(f"/proc/{each.pid}/ns/net").st_ino == own]


@contextmanager
def two_machines(folder: Path, environment: Mapping[str, str]) -> Iterator[TwoMachines]:
    """Start them; skips where this user may not make networks."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("networks of their own want root and the program `ip`")
    kept = folder / "far-ray"
    kept.mkdir()
    started: list[subprocess.Popen[bytes]] = []
    for left in (("netns", "del", _FAR), ("link", "del", _ENDS[0])):  # by a test that was killed
        subprocess.run(["ip", *left], capture_output=True)

    def start(command: list[str]) -> None:
        with (folder / "ray.log").open("a") as told:
            started.append(subprocess.Popen(command, env=environment, stdout=told, stderr=told))

    _ip("netns", "add", _FAR)
    try:
        _ip("link", "add", _ENDS[0], "type", "veth", "peer", "name", _ENDS[1], "netns", _FAR)
        _ip("addr", "add", f"{_NEAR_IP}/24", "dev", _ENDS[0])
        _ip("link", "set", _ENDS[0], "up")
        _ip("-n", _FAR, "addr", "add", f"{_FAR_IP}/24", "dev", _ENDS[1])
        for device in (_ENDS[1], "lo"):
            _ip("-n", _FAR, "link", "set", device, "up")
        head = [_RAY, "start", "--head", "--node-ip-address", _NEAR_IP, "--port", str(_PORT), *_NODE]
        start([*head, "--include-dashboard", "false"])
        join = f"exec {_RAY} start --address {_NEAR_IP}:{_PORT} --node-ip-address {_FAR_IP} {' '.join(_NODE)}"
        # what Ray keeps in its folder tells which machine it is on: each has its own
        far = ["ip", "netns", "exec", _FAR, "sh", "-c", f"mount --bind {kept} /tmp/ray && {join}"]
        _wait_for_nodes(1, environment)  # the head makes the folder
        start(far)
        _wait_for_nodes(2, environment)
        yield TwoMachines()
    finally:
        for process in started:
            end([*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)])
            process.wait()
        _ip("netns", "del", _FAR)  # and the cable with it


def _wait_for_nodes(count: int, environment: Mapping[str, str]) -> None:
    command = [_RAY, "status", "--address", f"{_NEAR_IP}:{_PORT}"]

    def are_there() -> bool:
        said = subprocess.run(command, env=environment, capture_output=True, text=True)
        return said.returncode == 0 and len(re.findall(r"^ 1 node_", said.stdout, re.M)) == count

    wait_until(are_there, 120, f"the cluster has {count} nodes")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
