"""Another run, as a process of its own: it holds its leases and does nothing until it is killed or let go."""

import subprocess
import sys
from pathlib import Path
from typing import Final

RUN_ID: Final = "other"
_PROGRAM: Final = """
import sys
from contextlib import closing
from pathlib import Path
from moodreel.warehouse.lake import Lake
from moodreel.warehouse.leases import VIDEO, Leases
from moodreel.warehouse.records import start_run
from moodreel.warehouse.staging import StagingArea
warehouse, run_id, *video_ids = sys.argv[1:]
with closing(Lake(Path(warehouse))) as lake, Leases(lake, run_id) as leases:
    leases.take_run(run_id)
    start_run(lake, run_id, "nightly", "{}", "1")
    with closing(StagingArea(lake.folder, run_id)) as staging:
        for video_id in video_ids:
            staging.video(video_id)
            assert leases.take(VIDEO + video_id)
        print("ready", flush=True)
        sys.stdin.read()
"""


class OtherRun:
    """A run that is at work on some videos for as long as the context is open."""

    def __init__(self, warehouse: Path, *video_ids: str) -> None:
        command = [sys.executable, "-c", _PROGRAM, str(warehouse), RUN_ID, *video_ids]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._was_killed = False

    def __enter__(self) -> "OtherRun":
        assert self._process.stdout is not None and self._process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()
        assert self._was_killed or self._process.returncode == 0

    def kill(self) -> None:
        """kill -9: what is left of it are its leases, its row and what it staged."""
        self._was_killed = True
        self._process.kill()
        self._process.wait()
