"""Sound of every kind through a night: what the tables say of it, and the picture beside it untouched."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
from clips import portrait_clip
from numpy.typing import NDArray
from other_model import other_model
from sounds import Track, with_tracks
from speech import spoken

from moodreel.flows.run import run_night
from moodreel.schemas.config import NightRequest
from moodreel.warehouse.ask import ask

RATE = 16_000
FACES = ("small-vgg",)  # the quickest


def at(rate: int, channels: int = 1) -> NDArray[np.float32]:
    """Four seconds of recorded speech in a rate, the same in all channels."""
    samples = soxr.resample(spoken(4.0), RATE, rate).astype(np.float32)
    return np.repeat(samples[None], channels, axis=0)


SPEECH = at(RATE)
SILENCE = np.zeros_like(SPEECH)
# name: tracks, what the tables say of the sound, whether a voice gets a verdict
CLIPS: dict[str, tuple[tuple[Track, ...], str, bool]] = {
    "none.mp4": ((), "none", False),
    "silent.mp4": ((Track(SILENCE),), "silent", False),
    "broken.mkv": ((Track(SPEECH, is_rubble=True),), "broken", False),
    "ok.mp4": ((Track(SPEECH),), "ok", True),
    "second of two.mkv": ((Track(SILENCE, is_default=False), Track(SPEECH)), "ok", True),
    "first of two.mkv": ((Track(SILENCE), Track(SPEECH, is_default=False)), "silent", False),
    "telephone.mkv": ((Track(at(8_000), 8_000, codec="pcm_s16le"),), "ok", True),
    "96 kHz.mkv": ((Track(at(96_000, 2), 96_000, "stereo", "pcm_s24le"),), "ok", True),
    "cinema.mkv": ((Track(at(48_000, 6), 48_000, "5.1", "ac3"),), "ok", True),
    "clipped.mkv": ((Track((40 * SPEECH).clip(-1, 1), codec="pcm_s16le"),), "ok", True),
    "offset.mkv": ((Track((0.5 * SPEECH + 0.4).astype(np.float32), codec="pcm_s16le"),), "ok", True),
    "short.mkv": ((Track(SPEECH[:, 8_000:12_800], codec="pcm_s16le"),), "ok", True),
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("odd")
    (folder / "videos").mkdir()
    (folder / "registry").mkdir()
    picture = portrait_clip(folder / "picture.mp4", seconds=1)
    for name, (tracks, _, _) in CLIPS.items():
        with_tracks(picture, folder / "videos" / name, *tracks)
    with other_model(folder / "registry", "voice"):
        request = NightRequest(folder=str(folder / "videos"), warehouse=str(folder / "lake"), workers=0, models=FACES)
        counts = run_night(request).summary.counts
    assert (counts.num_analysed, counts.num_failed) == (len(CLIPS), 0)
    yield folder / "lake"


def by_name(lake: Path, query: str) -> dict[str, dict[str, Any]]:
    rows: list[dict[str, Any]] = ask(lake, query).to_pylist()
    return {Path(row["path"]).name: row for row in rows}


@pytest.mark.parametrize("name", CLIPS)
def test_the_tables_say_how_the_sound_was_and_what_was_heard(lake: Path, name: str) -> None:
    _, sound, is_heard = CLIPS[name]
    row = by_name(lake, "SELECT * FROM video_voice")[name]
    assert row["sound"] == sound
    assert (row["dominant_emotion"] is not None, row["num_windows"] > 0) == (is_heard, is_heard)
    verdict = by_name(lake, "SELECT * FROM video_verdict WHERE from_s IS NULL")[name]
    assert verdict["rests_on"] == ("face and voice" if is_heard else "face")


def test_the_picture_is_analysed_alike_whatever_the_sound(lake: Path) -> None:
    faces = by_name(lake, "SELECT path, num_faces, dominant_emotion, confidence FROM video_emotions")
    assert len(faces) == len(CLIPS)
    assert len({tuple(row[name] for name in row if name != "path") for row in faces.values()}) == 1
    assert next(iter(faces.values()))["num_faces"] > 0
