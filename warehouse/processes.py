"""Names of processes that tell others on the same machine whether the process still lives."""

import os
from functools import cache
from pathlib import Path


def this_process() -> str:
    """Return a name that no other process has or will have, of any machine."""
    pid = os.getpid()
    return f"{_machine()}:{pid}:{_start(pid)}"


def has_died(name: str) -> bool:
    """Say whether a process is surely gone; of one on another machine, or in another container, nobody here knows."""
    machine, pid, start = name.rsplit(":", 2)
    return machine == _machine() and _start(int(pid)) != start


@cache
def _machine() -> str:
    """The boot of a machine and the container in it: where the numbers of processes mean the same."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:  # no Linux: processes name themselves so that nobody recognises them
        return f"{os.urandom(8).hex()}"


def _start(pid: int) -> str:
    """The clock tick when a process started, which tells it from a later one of the same number; "" if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]  # a zombie does nothing any more
