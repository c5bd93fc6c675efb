"""Time a first run against a rerun on the same videos: python tests/support/bench_rerun.py [FOLDER].

Without a folder it takes the demo's footage and a minute of a face. Both are commands of their own that work in one
process, so their start counts; their networks are converted for OpenVINO before that, as after the first use.
On a machine that does other work too, compare the processor's seconds.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from clips import portrait_clip

from moodreel.flows.demo import make_videos
from moodreel.models.inference import ensure_ir
from moodreel.models.registry import read_manifest

FIRST, SECOND = "inception-resnet-v2", "small-vgg"


def timed(*words: str) -> tuple[float, float]:
    """Run moodreel; return its seconds by the clock and of processor time."""
    clock, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([Path(sys.executable).with_name("moodreel"), *words], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - clock, used


with tempfile.TemporaryDirectory() as home:
    videos, lake = Path(home, "videos"), str(Path(home, "lake"))
    if len(sys.argv) > 1:
        videos = Path(sys.argv[1])
    else:
        make_videos(videos)
        for seconds in (19, 20, 21):
            portrait_clip(videos / f"{seconds}.mp4", seconds)
    for name in (FIRST, SECOND):
        ensure_ir(read_manifest(name))
    run = timed("run", str(videos), "--workers", "0", "--models", FIRST, "--warehouse", lake)
    rerun = timed("rerun", "--models", SECOND, "--warehouse", lake)
    for kind, first, second in zip(("clock", "processor"), run, rerun, strict=True):
        print(f"{kind}: run {first:.1f} s, rerun {second:.1f} s, {first / second:.1f} times faster")
