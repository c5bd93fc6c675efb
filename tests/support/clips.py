"""Small true videos, made where they are needed."""

from collections.abc import Collection, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image
from sounds import Track, with_tracks

from moodreel.flows.demo import SPEECH, package_file, pan, write_clip

__all__ = [
    "SPEECH",
    "encode",
    "make_clips",
    "numbered",
    "pan_cut_pan",
    "portrait",
    "portrait_clip",
    "read_number",
    "write_clip",
]

Picture = NDArray[np.uint8]


def portrait() -> Picture:
    """A real face that a package ships, (512, 512, 3)."""
    return np.asarray(Image.open(package_file("skimage", "data/astronaut.png")).convert("RGB"))


def portrait_clip(path: Path, seconds: float = 2.0, sound: Path | None = None, fps: int = 10) -> Path:
    """A camera moving over the portrait's head."""
    write_clip(path, pan(portrait()[:260, 90:350], round(seconds * fps), 320, 320), fps, sound)
    return path


def numbered(count: int, width: int = 160, height: int = 96) -> Iterator[Picture]:
    """Frames that say their number: eight blocks, black or white, lowest bit first, and a red top left corner."""
    for number in range(count):
        frame = np.full((height, width, 3), 128, np.uint8)
        for bit in range(8):
            block = width // 8
            frame[height // 2 :, bit * block : (bit + 1) * block] = 255 if number >> bit & 1 else 0
        frame[: height // 4, : width // 4] = (255, 0, 0)
        yield frame


def read_number(frame: Picture) -> int:
    """Read what `numbered` wrote."""
    height, width = frame.shape[:2]
    block = width // 8
    return sum(int(frame[height * 3 // 4, bit * block + block // 2].mean() > 128) << bit for bit in range(8))


def encode(
    path: Path,
    frames: Iterable[Picture],
    times_s: Iterable[Fraction],
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    container: str | None = None,
) -> Path:
    """Encode frames at the given times, with any codec and pixel format."""
    with av.open(str(path), "w", format=container) as clip:
        stream = clip.add_stream(codec, rate=25, options=options or {})
        stream.pix_fmt = pix_fmt
        stream.time_base = stream.codec_context.time_base = Fraction(1, 600)
        for index, (frame, time_s) in enumerate(zip(frames, times_s, strict=False)):
            if index == 0:
                stream.height, stream.width = frame.shape[:2]
            shown = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            shown.pts, shown.time_base = round(time_s * 600), Fraction(1, 600)
            clip.mux(stream.encode(shown))
        clip.mux(stream.encode())
    return path


def pan_cut_pan(count: int) -> Iterator[Picture]:
    """Two shots of the portrait with a hard cut in the middle: the second is mirrored and turned to blue."""
    for index, frame in enumerate(pan(portrait()[:260, 90:350], count, 320, 320)):
        yield frame if index < count // 2 else np.ascontiguousarray(frame[:, ::-1, ::-1])


def make_clips(folder: Path, left_out: Collection[str] = ()) -> Path:
    """Write clips of 1 to 3 s: rows of some go into the catalog, of others into files; three are damaged.

    Args:
        folder: made if need be.
        left_out: names of those that are not wanted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    whole = portrait_clip(folder / "portrait.mp4", 1).read_bytes()
    (folder / "half.mp4").write_bytes(whole[: len(whole) // 2])
    portrait_clip(folder / "long.mkv", 3)
    mute = portrait_clip(folder / "mute.mp4", 2, fps=8)
    samples, rate = soundfile.read(SPEECH, dtype="float32", always_2d=True)
    with_tracks(mute, folder / "speech.mp4", Track(samples.T[:1, : 2 * rate], rate))
    write_clip(folder / "numbers.mov", numbered(20), fps=10)
    stream = encode(folder / "damaged.ts", numbered(30), (Fraction(i, 10) for i in range(30))).read_bytes()
    (folder / "damaged.ts").write_bytes(stream[: len(stream) // 2] + bytes(940) + stream[len(stream) // 2 + 940 :])
    (folder / "text.mp4").write_text("no video")
    for name in left_out:
        (folder / name).unlink()
    return folder
