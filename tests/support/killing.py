"""`moodreel run` as processes of its own, killed with signal 9 at a moment or in the middle of a commit.

What a run is doing is told by its files alone: its staging folder appears before its networks are loaded, a video's
folder in it when the video begins, and Parquet's last bytes in the video's frames when its commit begins.
"""

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import psutil
from commands import MOODREEL

Target = Literal["everything", "flow", "actor", "raylet"]
_LOOK_S: Final = 0.002  # a commit takes a few hundredths
_BETWEEN_WRITES_S: Final = 0.04
_WAL_HEADER_BYTES: Final = 32
_NAMES: Final = {"actor": "ray::Analyst", "raylet": "raylet"}  # what the processes' names begin with


@dataclass(frozen=True, slots=True)
class Moment:
    """When to kill what.

    Attributes:
        target: what is killed.
        seconds: after the run's start; with `commit`, after that commit begins.
        commit: counted from 1.
        is_written: the seconds begin when the commit's first word is in the catalog.
    """

    target: Target
    seconds: float
    commit: int | None = None
    is_written: bool = False


class Run:
    """A run in a session of its own; its standard error goes into a file."""

    def __init__(self, folder: Path, warehouse: Path, workers: int, log: Path, *options: str) -> None:
        self._warehouse, self._log, self._has_ray = warehouse, log, workers > 0
        self.started_at, self.started = time.time(), time.monotonic()
        command = [MOODREEL, "run", str(folder), "--warehouse", str(warehouse), "--workers", str(workers), *options]
        with log.open("w") as told:
            self.process = subprocess.Popen(command, stdout=told, stderr=told, start_new_session=True)

    def wait_for(self, moment: Moment) -> bool:
        """Wait until a moment; say whether it came before the run's end."""
        if moment.commit is None:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(max(0.0, self.started + moment.seconds - time.monotonic()))
            return self.process.poll() is None
        seen: set[Path] = set()
        while self.process.poll() is None:
            seen |= set(self.committing())
            if len(seen) >= moment.commit:
                while moment.is_written and not self._is_writing() and self.process.poll() is None:
                    time.sleep(_LOOK_S / 4)
                time.sleep(moment.seconds)
                return self.process.poll() is None
            time.sleep(_LOOK_S)
        return False

    def kill(self, target: Target) -> list[psutil.Process]:
        """Kill, the flow where there is no such process yet; return what it leaves behind to die or to be ended."""
        flow = psutil.Process(self.process.pid)
        family = flow.children(recursive=True) if self._has_ray else []  # looking takes as long as half a commit
        if target == "everything":
            os.killpg(self.process.pid, signal.SIGKILL)
            end(family)
        elif target == "flow":
            flow.kill()
        else:
            named = [process for process in family if _name(process).startswith(_NAMES[target])]
            end(named[:1] or [flow])
        if target in ("everything", "flow"):
            self.process.wait()
        return family

    def stage(self) -> str:
        """Say what the run is doing, or was doing when it was killed."""
        staged = [folder for folder in _folders(self._warehouse / "staging") if _is_since(folder, self.started_at)]
        if self.committing():
            return "committing"
        if any(_folders(folder) for folder in staged):
            return "analysing"
        if any(line.startswith("1/") for line in self.said().splitlines()):
            return "between videos or closing"
        if staged:
            return "loading networks"
        return "planning" if _is_since(self._warehouse / "catalog.sqlite-wal", self.started_at) else "starting"

    def committing(self) -> list[Path]:
        """Return the staging folders of videos whose rows are complete."""
        videos = [video for run in _folders(self._warehouse / "staging") for video in _folders(run)]
        mine = [video for video in videos if _is_since(video, self.started_at)]
        return [video for video in mine if any(map(_is_complete, _frames(video)))]

    def time_commits(self) -> list[float]:
        """Let the run end; return how long each commit took, s."""
        begun: dict[Path, float] = {}
        lengths: list[float] = []
        while self.process.poll() is None:
            now = time.monotonic()
            going_on = self.committing()
            lengths += [now - begun.pop(video) for video in set(begun) - set(going_on)]
            begun = {video: now for video in going_on} | begun
            time.sleep(_LOOK_S)
        return lengths

    def _is_writing(self) -> bool:
        """Say whether the catalog's WAL has more than its header: each transaction begins one anew."""
        with suppress(FileNotFoundError):
            return (self._warehouse / "catalog.sqlite-wal").stat().st_size > _WAL_HEADER_BYTES
        return False

    def said(self) -> str:
        """Return all that it printed."""
        return self._log.read_text(errors="replace")


def end(processes: Iterable[psutil.Process]) -> None:
    """Kill processes that may be gone already."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def draw_moments(
    count: int, targets: list[Target], duration_s: float, commits: list[float], rng: random.Random
) -> list[Moment]:
    """Return moments spread evenly over a run's duration, every third in a commit, in random order.

    Half of those in a commit are just after its first write to the catalog: a commit in two parts would be torn there.

    Args:
        count: how many.
        targets: what is killed in turn; in a commit always everything, as when the power goes.
        duration_s: of an undisturbed run.
        commits: how long each commit of an undisturbed run took, s.
        rng: where chance comes from.
    """
    in_commits = count // 3
    moments = []
    for index in range(in_commits):
        number = 1 + index % len(commits)
        is_written = index % 2 == 0
        most = _BETWEEN_WRITES_S if is_written else commits[number - 1]
        moments.append(Moment("everything", rng.uniform(0.0, most), number, is_written))
    rest = count - in_commits
    for index in range(rest):
        moments.append(Moment(targets[index % len(targets)], duration_s * (index + rng.random()) / rest))
    rng.shuffle(moments)
    return moments


def _folders(root: Path) -> list[Path]:
    return [Path(entry) for entry in _entries(root) if entry.is_dir()]


def _frames(video: Path) -> list[Path]:
    return [Path(entry) for entry in _entries(video) if entry.name.startswith("frames.")]


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    with suppress(FileNotFoundError):  # the run may remove it at any moment
        return list(os.scandir(folder))
    return []


def _is_since(path: Path, moment: float) -> bool:
    with suppress(FileNotFoundError):
        return path.stat().st_mtime >= moment
    return False


def _is_complete(parquet: Path) -> bool:
    with suppress(OSError), parquet.open("rb") as file:  # an empty one has its first four bytes alone
        size = file.seek(0, os.SEEK_END)
        file.seek(-4, os.SEEK_END)
        return size > 8 and file.read() == b"PAR1"
    return False


def _name(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        return str(process.name())
    return ""
