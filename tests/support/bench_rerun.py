"""Time a first run, as it is by default, against a rerun of its videos: python tests/support/bench_rerun.py [FOLDER].

Without a folder it takes the demo's footage and three minutes of a face. Both are commands of their own that work in
one process, so their start counts; their networks are converted for OpenVINO before that, as after the first use.
On a machine that does other work too, compare the processor's seconds.
"""

import sys
import tempfile
from pathlib import Path

from clips import portrait_clip
from commands import timed

from moodreel.flows.demo import make_videos
from moodreel.models.inference import ensure_ir
from moodreel.models.registry import DEFAULTS, read_manifest

NEW = "small-vgg"


def main(home: Path, videos: Path | None) -> None:
    """Print how much faster the rerun is, by the clock and by the processor."""
    if videos is None:
        videos = home / "videos"
        make_videos(videos)
        for seconds in (59, 60, 61):
            portrait_clip(videos / f"{seconds}.mp4", seconds)
    for name in (*DEFAULTS["face"], NEW):
        ensure_ir(read_manifest(name))
    lake = home / "lake"
    _, *run = timed("run", videos, "--workers", "0", "--warehouse", lake)
    _, *rerun = timed("rerun", "--models", NEW, "--warehouse", lake)
    for kind, first, second in zip(("clock", "processor"), run, rerun, strict=True):
        print(f"{kind}: run {first:.1f} s, rerun {second:.1f} s, {first / second:.1f} times faster")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(scratch), Path(sys.argv[1]) if len(sys.argv) > 1 else None)
