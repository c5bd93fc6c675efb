"""Time both decoders on files: python tests/support/bench_decoders.py FILE..."""

import sys
import time

from moodreel.schemas.config import PictureConfig
from moodreel.schemas.values import Segment
from moodreel.tasks.decode import sample_frames

for path in sys.argv[1:]:
    for _ in range(3):
        for name in ("pyav", "decord"):
            started = time.perf_counter()
            count = sum(1 for _ in sample_frames(path, PictureConfig(decoder=name), Segment(), []))
            print(f"{path}: {name} {count} frames in {time.perf_counter() - started:.3f} s")
