"""The command line in this process, where what a test registered is known."""

import sys
from typing import Any

import pytest

from moodreel.flows import cli


def command(monkeypatch: pytest.MonkeyPatch, capfd: Any, *words: str) -> tuple[int, str, str]:
    """Run `moodreel WORDS`; return its exit code and what it printed and complained of."""
    monkeypatch.setattr(sys, "argv", ["moodreel", *words])
    with pytest.raises(SystemExit) as ending:
        cli.main()
    printed = capfd.readouterr()
    assert isinstance(ending.value.code, int)
    return ending.value.code, printed.out, printed.err
