import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa

from moodreel.schemas.values import Part
from moodreel.warehouse.staging import StagingArea


def test_rows_come_back_in_the_order_of_the_units(tmp_path: Path) -> None:
    area = StagingArea(tmp_path, "run")
    video = area.video("v")
    for unit, value in ((1, 3), (0, 1), (1, 4), (0, 2)):
        video.add(unit, Part("frames", pa.table({"n": [value]})))
    video.add(0, Part("face_emotions", pa.table({"n": [9]}), "m"))
    video.close()
    assert [n for batch in video.batches("frames") for n in batch["n"].to_pylist()] == [1, 2, 3, 4]
    assert [n for batch in video.batches("face_emotions", "m") for n in batch["n"].to_pylist()] == [9]
    assert video.num_rows("frames") == 4
    video.remove()
    area.close()
    assert list((tmp_path / "staging").iterdir()) == []


def test_a_run_may_open_as_many_files_as_its_user(tmp_path: Path) -> None:
    code = """
import pathlib, resource, sys
from moodreel.warehouse.staging import StagingArea
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (256, most))
StagingArea(pathlib.Path(sys.argv[1]), "run").close()
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0] == most)
"""
    assert subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True).stdout == "True\n"


def test_a_killed_runs_folder_is_removed_by_the_next_and_a_living_ones_is_not(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from moodreel.warehouse.staging import StagingArea;"
        "a = StagingArea(Path(sys.argv[1]), 'killed'); a.video('v'); print('ready', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "ready\n"
    StagingArea(tmp_path, "second").close()
    assert (tmp_path / "staging" / "killed" / "v").is_dir()
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    StagingArea(tmp_path, "third").close()
    assert list((tmp_path / "staging").iterdir()) == []
