"""Kill nights at random moments and compare: python tests/support/torture.py [--kills N] [--ray-kills N].

A warehouse suffers some kills, then a run may come to its end: all tables must equal an undisturbed run's, nothing may
be left of the killed runs, and `maintain` must find every file that no row needs. Exit 1 tells of a difference; the
warehouse that shows it is kept.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

from clips import make_clips
from killing import Moment, Run, Target, draw_moments, end
from lakes import assert_equal

from moodreel.flows.upkeep import maintain_warehouse
from moodreel.warehouse.ask import ask

_OPTIONS: Final = ("--models", "small-vgg")
_ENDED: Final = (0, 3)  # with all videos, or all but damaged ones
_PATIENCE_S: Final = 1200.0  # for a run whose raylet was killed; it waits 600 s for another one
_TARGETS: Final[dict[bool, list[Target]]] = {False: ["everything"], True: ["flow", "actor", "raylet", "everything"]}


@dataclass(slots=True)
class Tally:
    """What a torture did and found."""

    hits: Counter[tuple[str, str]] = field(default_factory=Counter)  # what was killed, while the run was doing what
    num_compared: int = 0
    num_strays: int = 0  # files that no row needed before upkeep
    differences: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Torture:
    """Kills of runs over one folder of clips."""

    def __init__(self, clips: Path, scratch: Path, workers: int, seed: int) -> None:
        """Let an undisturbed run tell how long everything takes.

        Raises:
            RuntimeError: that run fails.
        """
        self._clips, self._scratch, self._workers = clips, scratch, workers
        self._rng = random.Random(seed)
        self._undisturbed = scratch / "undisturbed"
        scratch.mkdir(parents=True)
        run = self._start(self._undisturbed)
        self._commits = run.time_commits()
        self._duration_s = time.monotonic() - run.started
        if run.process.returncode not in _ENDED or not self._commits:
            raise RuntimeError(f"the undisturbed run analysed nothing: {run.said()}")

    def go(self, num_kills: int, kills_each: int, tell: Callable[[str], None] = lambda line: None) -> Tally:
        """Kill so many times, so often at most in one warehouse before a run may end."""
        tally, started = Tally(), time.monotonic()
        moments = draw_moments(num_kills, _TARGETS[self._workers > 0], self._duration_s, self._commits, self._rng)
        while moments:
            warehouse = self._scratch / f"warehouse {tally.num_compared}"
            found = self._suffer(warehouse, moments, kills_each, tally)
            tally.differences += [f"{warehouse}: {difference}" for difference in found]
            tally.num_compared += 1
            tally.seconds = time.monotonic() - started
            told = f"{tally.hits.total()}/{num_kills} kills, {tally.num_compared} comparisons"
            tell(f"{told}, {len(tally.differences)} differences, {tally.seconds:.0f} s")
            if not found:
                shutil.rmtree(warehouse)
        return tally

    def _suffer(self, warehouse: Path, moments: list[Moment], kills_each: int, tally: Tally) -> list[str]:
        """Kill runs on a fresh warehouse, let one end, and return what is wrong with it then."""
        found: list[str] = []
        orphans = []
        for number in range(min(kills_each, len(moments))):
            moment = moments.pop()
            run = self._start(warehouse)
            if not run.wait_for(moment):  # it was faster
                # a fresh warehouse has more to do; where that does not help, an earlier moment does
                late = replace(moment, seconds=moment.seconds * self._rng.random()) if number == 0 else moment
                moments.insert(0, late)
                break
            orphans += run.kill(moment.target)
            tally.hits[moment.target, run.stage()] += 1
            if not _ends(run):
                found.append(f"the run hung when its {moment.target} was killed")
            if run.process.returncode in _ENDED:  # it went on with another actor
                break
        else:
            run = self._start(warehouse)
        if not _ends(run) or run.process.returncode not in _ENDED:
            found.append(f"the run after a kill did not end well: {run.said()[-500:]}")
        end(orphans)
        return found or self._compare(warehouse, tally)

    def _compare(self, warehouse: Path, tally: Tally) -> list[str]:
        found = _differences(self._undisturbed, warehouse)
        if ask(warehouse, "SELECT 1 FROM runs WHERE state = 'running'").num_rows:
            found.append("a run that was killed is still running by its row")
        if list((warehouse / "staging").glob("*")):
            found.append("something staged is left")
        tally.num_strays += _count_strays(warehouse)
        maintain_warehouse(warehouse, None, 0, timedelta(0))
        if strays := _count_strays(warehouse):
            found.append(f"{strays} files that no row needs are left after upkeep")
        return found + [f"after upkeep: {difference}" for difference in _differences(self._undisturbed, warehouse)]

    def _start(self, warehouse: Path) -> Run:
        return Run(self._clips, warehouse, self._workers, self._scratch / "run.log", *_OPTIONS)


def _ends(run: Run) -> bool:
    """Wait for a run's end; kill it if that does not come."""
    try:
        run.process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        end(run.kill("everything"))
        return False
    return True


def _differences(one: Path, other: Path) -> list[str]:
    try:
        assert_equal(one, other)
    except AssertionError as error:
        return [" ".join(str(error).split())]
    return []


def _count_strays(warehouse: Path) -> int:
    """Return how many data files lie there that no table has."""
    [known] = ask(warehouse, "SELECT sum(file_count + delete_file_count) AS n FROM ducklake_table_info('lake')")["n"]
    return len(list((warehouse / "data").rglob("*.parquet"))) - int(known.as_py())


def show(title: str, tally: Tally) -> None:
    """Print what was hit and found."""
    print(f"{title}: {tally.hits.total()} kills, {tally.num_compared} comparisons, {tally.seconds:.0f} s,")
    print(f"{tally.num_strays} files of killed commits, {len(tally.differences)} differences")
    print("| killed | while | times |\n| --- | --- | --- |")
    for (target, stage), times in sorted(tally.hits.items()):
        print(f"| {target} | {stage} | {times} |")
    print(*tally.differences, sep="\n", flush=True)


def main() -> int:
    """Torture with and without Ray; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=150, help="with --workers 0")
    parser.add_argument("--ray-kills", type=int, default=50, help="with --workers 1")
    parser.add_argument("--kills-each", type=int, default=5, help="in one warehouse, at most")
    parser.add_argument("--clips", type=Path, help="a folder of videos instead of made ones")
    parser.add_argument("--seed", type=int, default=1)
    wishes = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="torture-"))
    os.environ["PREFECT_HOME"] = str(scratch / "prefect")  # killed with the rest, and used again
    os.environ.pop("PREFECT_API_URL", None)
    clips = wishes.clips or make_clips(scratch / "clips")
    has_differences = False
    for workers, count in ((0, wishes.kills), (1, wishes.ray_kills)):
        if count:
            torture = Torture(clips, scratch / f"workers {workers}", workers, wishes.seed)
            tell = partial(print, f"--workers {workers}:", file=sys.stderr, flush=True)
            tally = torture.go(count, wishes.kills_each, tell)
            show(f"--workers {workers}", tally)
            has_differences |= bool(tally.differences)
    if has_differences:
        print(f"what differs is kept in {scratch}")
        return 1
    shutil.rmtree(scratch)
    return 0


if __name__ == "__main__":
    sys.exit(main())
