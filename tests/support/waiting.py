"""Waiting for what other processes do."""

import socket
import time
from collections.abc import Callable


def wait_until(is_so: Callable[[], object], seconds: float, what: str, look_s: float = 0.5) -> None:
    """Fail if it does not come to be so in time."""
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, f"waited {seconds} s in vain until {what}"
        time.sleep(look_s)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
