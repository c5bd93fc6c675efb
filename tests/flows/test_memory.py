"""Memory does not grow with length, and a night with Ray stays under 4 GB in all."""

import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import psutil
import pytest
from clips import encode, portrait
from commands import MOODREEL

_CODE = """
import json, resource, sys
from moodreel.flows.run import run_night
from moodreel.schemas.config import NightRequest
report = run_night(NightRequest(folder=sys.argv[1], warehouse=sys.argv[2], workers=0))
assert report.summary.counts.num_analysed == 1
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
"""


def peak_mb(folder: Path, seconds: int) -> float:
    """The highest memory of a process that analyses a still portrait of that length."""
    (folder / "videos").mkdir(parents=True)
    face = portrait()[60:220, 140:300]
    frames, times = (face for _ in range(seconds * 5)), (Fraction(i, 5) for i in range(seconds * 5))
    encode(folder / "videos" / "a.mp4", frames, times)
    run = subprocess.run(
        [sys.executable, "-c", _CODE, str(folder / "videos"), str(folder / "w")], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return float(json.loads(run.stdout))


@pytest.mark.slow
def test_a_long_video_needs_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    short, long = peak_mb(tmp_path / "short", 20), peak_mb(tmp_path / "long", 800)
    assert long < short + 60, f"{short:.0f} MB for 20 s, {long:.0f} MB for 800 s"


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_night_with_ray_stays_under_4_gb(clips: Path, tmp_path: Path, prefect_home: Path) -> None:
    command = [MOODREEL, "run", str(clips), "--warehouse", str(tmp_path), "--workers", "2", "--json"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ)
    tree = psutil.Process(run.pid)
    peak = 0
    while run.poll() is None:
        peak = max(peak, _pss_of([tree, *tree.children(recursive=True)]))
        try:
            run.wait(1)
        except subprocess.TimeoutExpired:
            continue
    assert run.stdout is not None and json.loads(run.stdout.read())["num_analysed"] == 3
    assert 1e9 < peak < 4 * 2**30


def _pss_of(processes: list[psutil.Process]) -> int:
    """Proportional set size, shared pages counted once over all processes."""
    total = 0
    for process in processes:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue  # it ended meanwhile
    return total
