"""How fast the sound of a long video is read on one core, all in: python tests/support/bench_sound.py [HOURS].

A recording of speech, over and over, goes through what a run does with a sound track: decoding, speech activity,
openSMILE's features, and the default voice model's verdicts.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np
import torch
from clips import SPEECH

from moodreel.models.registry import DEFAULTS
from moodreel.schemas.config import SoundConfig
from moodreel.tasks.acoustics import SoundAnalyst
from moodreel.tasks.sound import stream_sound
from moodreel.tasks.voices import VoiceClassifier

_RATE_HZ = 16_000


def write_speech(path: Path, seconds: float) -> None:
    """Repeat the recording, uncompressed in Matroska, under a picture that hardly ever changes."""
    resampler = av.AudioResampler("s16", "mono", _RATE_HZ)
    with av.open(str(SPEECH)) as source:
        pieces = [ready.to_ndarray() for frame in source.decode(audio=0) for ready in resampler.resample(frame)]
    samples = np.concatenate(pieces, axis=1)
    with av.open(str(path), "w") as out:
        picture = out.add_stream("libx264", rate=1)
        picture.width = picture.height = 64
        stream = out.add_stream("pcm_s16le", rate=_RATE_HZ, layout="mono")
        for _ in range(round(seconds * _RATE_HZ / samples.shape[1])):
            out.mux(picture.encode(av.VideoFrame(64, 64, "yuv420p")))
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate = _RATE_HZ
            out.mux(stream.encode(frame))
        out.mux(picture.encode(None))
        out.mux(stream.encode(None))


def main(hours: float) -> None:
    """Print how many times real time it is, and the memory that it takes."""
    torch.set_num_threads(1)
    analyst = SoundAnalyst(SoundConfig())
    voices = [VoiceClassifier(name) for name in DEFAULTS["voice"]]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.mkv"
        write_speech(path, hours * 3600)
        before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        started, num_windows, num_verdicts = time.process_time(), 0, 0
        for table in analyst.describe(stream_sound(str(path), [])):
            num_windows += table.num_rows
            num_verdicts += sum(rows.num_rows - rows["label"].null_count for rows in (v.rows(table) for v in voices))
        seconds = time.process_time() - started
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{num_windows} windows, {num_verdicts} with a verdict: {num_windows / seconds:.0f} times real time on one core"
    )
    print(f"peak memory {peak_mb:.0f} MB, {peak_mb - before_mb:.0f} MB more than before the first window")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0)
