"""The command line: as a process of its own, or in this process, where what a test registered is known."""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import pytest

from moodreel.flows import cli

MOODREEL: Final = str(Path(sys.executable).with_name("moodreel"))


def moodreel(*words: str | Path, cwd: Path | None = None, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run `moodreel WORDS` to its end, with these environment variables too."""
    environment = {**os.environ, **variables}
    command = [MOODREEL, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)


def timed(*words: str | Path) -> tuple[str, float, float]:
    """Run `moodreel WORDS`; return what it printed, its seconds by the clock and its processor's.

    Raises:
        subprocess.CalledProcessError: it fails otherwise than by damaged videos.
    """
    clock, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([MOODREEL, *map(str, words)], stdout=subprocess.PIPE, text=True)
    if done.returncode != cli.EXIT_SOME_FAILED:
        done.check_returncode()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout, time.monotonic() - clock, used


def command(monkeypatch: pytest.MonkeyPatch, capfd: Any, *words: str) -> tuple[int, str, str]:
    """Run `moodreel WORDS` here; return its exit code and what it printed and complained of."""
    monkeypatch.setattr(sys, "argv", ["moodreel", *words])
    with pytest.raises(SystemExit) as ending:
        cli.main()
    printed = capfd.readouterr()
    assert isinstance(ending.value.code, int)
    return ending.value.code, printed.out, printed.err
