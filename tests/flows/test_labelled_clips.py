"""Two clips of the RAVDESS corpus get their label from face and voice together, and a verdict without one of them."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import Picture, write_clip
from PIL import Image, ImageFilter

from moodreel.flows.run import run_night
from moodreel.models.registry import DEFAULTS, read_manifest
from moodreel.schemas.config import NightRequest
from moodreel.warehouse.ask import ask

pytestmark = pytest.mark.needs_shared
HAPPY, ANGRY = "ravdess_01-01-03-02-02-01-01.mp4", "ravdess_01-01-05-02-01-02-14.mp4"
Verdicts = dict[str, dict[str, Any]]  # by the model of faces


@pytest.fixture(scope="module")
def verdicts(shared_videos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Verdicts]:
    folder, warehouse = tmp_path_factory.mktemp("videos"), tmp_path_factory.mktemp("lake")
    for name in (HAPPY, ANGRY):
        shutil.copyfile(shared_videos / name, folder / name)
        without_sound(shared_videos / name, folder / f"muted_{name}")
        without_face(shared_videos / name, folder / f"blurred_{name}")
    run_night(NightRequest(folder=str(folder), warehouse=str(warehouse), workers=0))
    query = "SELECT parse_filename(path) AS name, * FROM video_verdict WHERE from_s IS NULL"
    found: dict[str, Verdicts] = {}
    for row in ask(warehouse, query).to_pylist():
        found.setdefault(row["name"], {})[row["face_model_id"]] = row
    models = {read_manifest(name).model_id for name in DEFAULTS["face"]}
    assert all(rows.keys() == models for rows in found.values())
    return found


def without_sound(source: Path, target: Path) -> None:
    with av.open(str(source)) as clip, av.open(str(target), "w") as out:
        stream = out.add_stream_from_template(clip.streams.video[0])
        for packet in clip.demux(clip.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)


def without_face(source: Path, target: Path) -> None:
    write_clip(target, blurred_frames(source), fps=10, sound=source)


def blurred_frames(source: Path) -> Iterator[Picture]:
    with av.open(str(source)) as clip:
        for frame in clip.decode(video=0):
            picture = Image.fromarray(frame.to_ndarray(format="rgb24"))
            yield np.asarray(picture.filter(ImageFilter.GaussianBlur(40)))


@pytest.mark.parametrize(("name", "label"), [(HAPPY, "happy"), (ANGRY, "angry")])
def test_face_and_voice_together_give_the_corpus_label(verdicts: dict[str, Verdicts], name: str, label: str) -> None:
    for verdict in verdicts[name].values():
        assert (verdict["emotion"], verdict["rests_on"]) == (label, "face and voice"), verdict


@pytest.mark.parametrize("name", [HAPPY, ANGRY])
def test_a_clip_without_sound_rests_on_the_face_alone(verdicts: dict[str, Verdicts], name: str) -> None:
    for model_id, verdict in verdicts[f"muted_{name}"].items():
        assert (verdict["rests_on"], verdict["face_weight"], verdict["voice_weight"]) == ("face", 1, 0)
        assert verdict["emotion"] == verdicts[name][model_id]["face_emotion"]


@pytest.mark.parametrize("name", [HAPPY, ANGRY])
def test_a_clip_with_its_face_blurred_rests_on_the_voice_alone(verdicts: dict[str, Verdicts], name: str) -> None:
    for model_id, verdict in verdicts[f"blurred_{name}"].items():
        assert (verdict["rests_on"], verdict["face_weight"], verdict["voice_weight"]) == ("voice", 0, 1)
        assert verdict["emotion"] == verdicts[name][model_id]["voice_emotion"]
