"""Leases between real processes."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path

import pytest
from waiting import wait_until

from moodreel.warehouse.lake import Lake, WarehouseError
from moodreel.warehouse.leases import RUN, UPKEEP, Leases, drop_lease

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    opened = Lake(tmp_path)
    yield opened
    opened.close()


def _take_at_once(folder: Path, name: str, blocked_by: str | None, begin: Barrier, wins: "Queue[str]") -> None:
    lake = Lake(folder)
    leases = Leases(lake, f"holder {os.getpid()}")
    begin.wait(60)
    if leases.take(name, blocked_by):
        wins.put(name)
    begin.wait(60)  # the winner lives until all have tried
    lake.close()


def _race(folder: Path, wishes: list[tuple[str, str | None]]) -> list[str]:
    begin, wins = SPAWN.Barrier(len(wishes)), SPAWN.Queue()
    racers = [SPAWN.Process(target=_take_at_once, args=(folder, *wish, begin, wins)) for wish in wishes]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert [racer.exitcode for racer in racers] == [0] * len(wishes)
    return sorted(wins.get(timeout=1) for _ in range(wins.qsize()))


def test_a_lost_lease_is_not_taken_again_beside_upkeep(lake: Lake) -> None:
    with Leases(lake, "run", length_s=0.4) as run:
        upkeep = Leases(lake, "upkeep")
        assert run.take("video:a") and upkeep.take(UPKEEP)
        drop_lease(lake, "video:a")
        time.sleep(1.0)  # ten renewals
        assert run.held("video:") == []
        upkeep.release(UPKEEP)
        wait_until(lambda: run.held("video:") == ["video:a"], 30, "the lease is taken again")


def test_exactly_one_of_many_gets_a_lease(lake: Lake, tmp_path: Path) -> None:
    assert _race(tmp_path, [("video:a", None)] * 5) == ["video:a"]


def test_runs_and_upkeep_never_hold_at_the_same_time(lake: Lake, tmp_path: Path) -> None:
    runs = [(f"{RUN}{number}", UPKEEP) for number in range(3)]
    winners = _race(tmp_path, [*runs, (UPKEEP, RUN)])
    assert winners in ([UPKEEP], [name for name, _ in runs])


def _hold(folder: Path, length_s: float, ready: Event, done: Event) -> None:
    lake = Lake(folder)
    with Leases(lake, "child", length_s) as leases:
        assert leases.take("video:a")
        ready.set()
        done.wait(60)
    lake.close()


@pytest.fixture
def holder(tmp_path: Path, lake: Lake) -> Iterator[Callable[[float], tuple[int, Event]]]:
    """Starts a process that holds video:a with leases of a length; gives its id and what ends it."""
    started = []

    def start(length_s: float) -> tuple[int, Event]:
        ready, done = SPAWN.Event(), SPAWN.Event()
        child = SPAWN.Process(target=_hold, args=(tmp_path, length_s, ready, done))
        child.start()
        started.append(child)
        assert ready.wait(60) and child.pid is not None
        return child.pid, done

    yield start
    for child in started:
        child.kill()
        child.join()


Holder = Callable[[float], tuple[int, Event]]


def _seconds_until_taken(leases: Leases, name: str) -> float:
    started = time.monotonic()
    while not leases.take(name):
        assert time.monotonic() - started < 30
        time.sleep(0.1)
    return time.monotonic() - started


def test_a_living_holder_keeps_its_lease_past_its_length(lake: Lake, holder: Holder) -> None:
    _, done = holder(1.5)
    leases = Leases(lake, "me")
    until = time.monotonic() + 4
    while time.monotonic() < until:
        assert not leases.take("video:a")
        time.sleep(0.2)
    done.set()  # it ends in order and gives back what it holds, long before the next renewal
    assert _seconds_until_taken(leases, "video:a") < 10


def test_a_killed_holder_is_noticed_at_once_on_its_machine(lake: Lake, holder: Holder) -> None:
    pid, _ = holder(600.0)
    leases = Leases(lake, "me")
    assert not leases.take("video:a")
    os.kill(pid, signal.SIGKILL)
    assert _seconds_until_taken(leases, "video:a") < 10
    assert leases.wait_for_any(["video:b"]) == ["video:b"]


def test_who_takes_over_from_a_dead_holder_learns_of_it_whatever_others_took(lake: Lake, holder: Holder) -> None:
    pid, _ = holder(600.0)
    os.kill(pid, signal.SIGKILL)
    with Leases(lake, "upkeep") as upkeep, Leases(lake, "run") as run:
        until = time.monotonic() + 10
        while upkeep.held("video:") and time.monotonic() < until:
            time.sleep(0.1)
        assert upkeep.take(UPKEEP, blocked_by=RUN) and run.take("video:b")
        assert run.take("video:a") and run.abandoned == {"video:a"} and upkeep.abandoned == set()


def test_one_that_stopped_renewing_expires_and_takes_nothing_back_from_the_next(lake: Lake, holder: Holder) -> None:
    pid, _ = holder(3.0)
    leases = Leases(lake, "me")
    os.kill(pid, signal.SIGSTOP)
    assert 1 < _seconds_until_taken(leases, "video:a") < 20
    os.kill(pid, signal.SIGCONT)
    time.sleep(2)  # two of its renewals
    assert not Leases(lake, "third").take("video:a")
    assert lake.query("SELECT holder LIKE 'me@%' FROM __ducklake_metadata_lake.moodreel_leases") == [(True,)]


def test_upkeep_that_keeps_its_own_renewal_waiting_keeps_its_lease(lake: Lake, tmp_path: Path) -> None:
    """As a long merge does, which works on the connection that the renewal needs."""
    other_lake = Lake(tmp_path)
    with Leases(lake, "upkeep", length_s=1.0) as upkeep, lake.on_one_thread():
        assert upkeep.take(UPKEEP, blocked_by=RUN)
        time.sleep(2)
        assert not Leases(other_lake, "run").take(f"{RUN}r", blocked_by=UPKEEP)
    other_lake.close()


def test_one_that_slept_takes_back_what_nobody_took(lake: Lake, holder: Holder) -> None:
    pid, _ = holder(2.0)
    os.kill(pid, signal.SIGSTOP)
    time.sleep(3)
    leases = Leases(lake, "me")
    assert leases.held("video:") == [] and leases.take("video:b") and leases.take("video:a")
    leases.release("video:a")
    os.kill(pid, signal.SIGCONT)
    time.sleep(2)
    assert leases.held("video:") == ["video:a", "video:b"]
    assert not leases.take("video:a")


def test_a_holder_may_take_again_and_gives_back_only_its_own(lake: Lake) -> None:
    with Leases(lake, "one") as one, Leases(lake, "other") as other:
        assert one.take("video:a") and one.take("video:a")
        other.release("video:a")
        assert not other.take("video:a")
        assert one.held("video:") == ["video:a"] and one.held(RUN) == []
        one.release("video:a")
        assert other.take("video:a") and one.take("video:b")
    assert Leases(lake, "third").held("") == []


def test_a_run_waits_for_upkeep_and_says_so(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    run = Leases(lake, "run")
    with Leases(lake, "upkeep") as upkeep:
        assert upkeep.take(UPKEEP, blocked_by=RUN)
        with pytest.raises(WarehouseError, match="under upkeep"):
            run.take_run("r", wait_s=2)
        assert [line.getMessage() for line in caplog.records] == [
            f"{lake.folder} is under upkeep: the run begins when that is over"
        ]
    run.take_run("r", wait_s=1)
    assert not upkeep.take(UPKEEP, blocked_by=RUN)
