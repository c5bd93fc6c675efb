"""`moodreel models add`, and what runs, reruns and evaluations make of a user's model."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch
from clips import SPEECH, portrait, portrait_clip
from commands import command
from own_models import FACE_INPUT, VoiceNetwork, face_network, write_onnx, write_safetensors
from PIL import Image

from moodreel.flows import cli
from moodreel.flows.workers import RayPool
from moodreel.models.networks import build_network
from moodreel.models.own import own_names, own_weights, parse_manifest, read_own, store_weights
from moodreel.models.registry import REGISTERED, checked_weights, read_manifest
from moodreel.schemas.config import AnalysisConfig
from moodreel.schemas.labels import LABELS
from moodreel.schemas.manifest import VectorInput
from moodreel.warehouse.ask import ask

DOCS = (Path(__file__).parents[2] / "docs" / "own-models.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MOODREEL_MODELS", str(tmp_path / "own"))
    read_manifest.cache_clear()
    return tmp_path / "own"


def stored(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def verdicts(warehouse: Path, table: str, model: str) -> list[dict[str, Any]]:
    model_id = read_own(model).model_id
    columns = ", ".join(("video_id", *LABELS))
    rows: list[dict[str, Any]] = ask(
        warehouse, f"SELECT {columns} FROM {table} WHERE model_id = '{model_id}' ORDER BY ALL"
    ).to_pylist()
    return rows


def write_deep(folder: Path) -> Path:
    """A network on the deep features of a shipped model."""
    source = read_manifest("inception-resnet-v2")
    torch.manual_seed(0)
    network = build_network("gan-sgdma-deep").eval()
    vectors = {"length": 3072, "source": source.model_id, "num_frames": 1}
    return write_safetensors(folder, network, network="gan-sgdma-deep", input=vectors)


@pytest.mark.parametrize(
    "kind", [*(pytest.param(kind, marks=pytest.mark.slow) for kind in ("safetensors", "deep")), "onnx"]
)
def test_a_night_a_rerun_and_an_evaluation_use_it(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    write = write_onnx if kind == "onnx" else write_safetensors
    path = write_deep(tmp_path) if kind == "deep" else write(tmp_path, face_network())
    code, out, _ = command(monkeypatch, capfd, "models", "add", str(path))
    assert (code, out.split()[:4]) == (0, ["mine", "is", "registered", "as"])
    path.unlink()
    (tmp_path / f"mine.{'onnx' if kind == 'onnx' else 'safetensors'}").unlink()  # it was copied

    videos = tmp_path / "videos"
    videos.mkdir()
    portrait_clip(videos / "a.mp4", seconds=1)
    night = ["run", str(videos), "--no-audio", "--workers", "0"]
    assert command(monkeypatch, capfd, *night, "--models", "mine", "--warehouse", str(tmp_path / "night"))[0] == 0
    found = verdicts(tmp_path / "night", "face_emotions", "mine")
    assert len(found) == 5

    later = ["--models", "small-vgg", "--warehouse", str(tmp_path / "later")]
    assert command(monkeypatch, capfd, *night, *later)[0] == 0
    (videos / "a.mp4").unlink()
    code, out, _ = command(
        monkeypatch, capfd, "rerun", "--models", "mine", "--warehouse", str(tmp_path / "later"), "--json"
    )
    assert (code, json.loads(out)["num_analysed"]) == (0, 1)
    assert verdicts(tmp_path / "later", "face_emotions", "mine") == [
        {name: pytest.approx(value, abs=1e-5) if name in LABELS else value for name, value in row.items()}
        for row in found
    ]
    for query in re.findall(r"```sql\n(.*?)```", DOCS, re.S):
        for one in [each for each in query.split(";") if each.strip()]:
            ask(tmp_path / "later", one)
    [pair] = ask(tmp_path / "later", "SELECT model_a, model_b, num_faces FROM model_disagreement").to_pylist()
    assert pair == {
        "model_a": read_own("mine").model_id,
        "model_b": read_manifest("small-vgg").model_id,
        "num_faces": 5,
    }

    for label in ("happy", "sad"):
        (tmp_path / "pictures" / label).mkdir(parents=True)
        Image.fromarray(portrait()[:260, 90:350]).save(tmp_path / "pictures" / label / "a.png")
    code, out, _ = command(monkeypatch, capfd, "evaluate", "mine", "--data", str(tmp_path / "pictures"), "--json")
    assert (code, json.loads(out)["model"], json.loads(out)["n"]) == (0, "mine", 2)


@pytest.mark.parametrize("kind", [pytest.param("safetensors", marks=pytest.mark.slow), "onnx"])
def test_a_voice_model_hears_stored_windows(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    if kind == "onnx":
        path = write_onnx(tmp_path, VoiceNetwork().eval(), "heard", task="voice")
    else:
        network = build_network("gan-sgdma-voice").eval()
        path = write_safetensors(tmp_path, network, "heard", task="voice", network="gan-sgdma-voice")
    code, _, err = command(monkeypatch, capfd, "models", "add", str(path))
    assert code == 0, err
    (tmp_path / "videos").mkdir()
    portrait_clip(tmp_path / "videos" / "a.mp4", 1, SPEECH)
    lake = ["--warehouse", str(tmp_path / "lake")]
    words = ["run", str(tmp_path / "videos"), "--workers", "0", "--models", "small-vgg", *lake]
    assert command(monkeypatch, capfd, *words)[0] == 0
    assert command(monkeypatch, capfd, "rerun", "--models", "heard", *lake)[0] == 0
    heard = [row for row in verdicts(tmp_path / "lake", "voice_emotions", "heard") if row["happy"] is not None]
    assert heard
    for row in heard:
        assert sum(row[label] for label in LABELS) == pytest.approx(1, abs=1e-5)


@pytest.mark.slow
def test_a_ray_worker_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    command(monkeypatch, capfd, "models", "add", str(write_onnx(tmp_path, face_network())))
    RayPool(AnalysisConfig(face_models=("mine",), sound=None), 1).close()  # its workers load the networks first


def test_models_lists_it_as_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    command(monkeypatch, capfd, "models", "add", str(write_safetensors(tmp_path, face_network())))
    _, out, _ = command(monkeypatch, capfd, "models")
    assert "mine version 1 (face, your own)" in out and out.count("your own") == 1
    assert "licence     mine [all of it]" in out and "measured    nothing" in out
    _, out, _ = command(monkeypatch, capfd, "models", "--json")
    assert {row["name"]: row["is_own"] for row in json.loads(out)["models"]} == {
        **dict.fromkeys(REGISTERED, False),
        "mine": True,
    }
    command(monkeypatch, capfd, "models", "--cards", str(tmp_path / "cards"))
    assert {path.stem for path in (tmp_path / "cards").iterdir()} == set(REGISTERED)


def test_the_same_model_again_changes_nothing_and_another_wants_force(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    path = write_safetensors(tmp_path / "a", face_network())
    command(monkeypatch, capfd, "models", "add", str(path))
    before = stored(folder)
    assert len(before) == 2
    code, out, _ = command(monkeypatch, capfd, "models", "add", str(path))
    assert (code, out, stored(folder)) == (0, "mine is registered already\n", before)

    other = write_safetensors(tmp_path / "b", face_network(seed=1))
    code, _, err = command(monkeypatch, capfd, "models", "add", str(other))
    assert (code, stored(folder)) == (cli.EXIT_USAGE, before) and "--force" in err
    assert command(monkeypatch, capfd, "models", "add", str(other), "--force")[0] == 0
    assert len(stored(folder)) == 2, "the old weights are gone"
    assert read_manifest("mine") == parse_manifest(other.read_bytes(), other)
    assert checked_weights(read_manifest("mine"))


def test_a_replacement_that_fails_leaves_the_model_as_it_was(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    command(monkeypatch, capfd, "models", "add", str(write_safetensors(tmp_path / "a", face_network())))
    before = stored(folder)
    assert len(before) == 2
    path = write_safetensors(tmp_path / "b", face_network(seed=1), num_features=5)
    code, _, err = command(monkeypatch, capfd, "models", "add", str(path), "--force")
    assert (code, stored(folder)) == (cli.EXIT_USAGE, before) and "num_features = 5" in err
    # the same weights under a worse manifest must stay for the good one
    path = write_safetensors(tmp_path / "c", face_network(), num_features=5)
    code, _, _ = command(monkeypatch, capfd, "models", "add", str(path), "--force")
    assert (code, stored(folder)) == (cli.EXIT_USAGE, before)


def test_what_a_kill_leaves_is_no_model_and_is_swept_by_the_next_try(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    path = write_safetensors(tmp_path / "a", face_network())
    killed = write_safetensors(tmp_path / "b", face_network(seed=1))
    manifest = parse_manifest(killed.read_bytes(), killed)
    folder.mkdir()
    store_weights(manifest, killed.parent / manifest.weights)  # and killed before the manifest
    own_weights(manifest).with_name(own_weights(manifest).name + ".tmp").write_bytes(b"half")
    (folder / "mine-notes.onnx").write_bytes(b"somebody's")
    assert own_names() == ()
    assert command(monkeypatch, capfd, "models", "add", str(path))[0] == 0
    weights = own_weights(read_own("mine")).name
    assert stored(folder).keys() == {"mine.toml", weights, "mine-notes.onnx"}


def test_weights_that_were_lost_come_back(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    path = write_safetensors(tmp_path, face_network())
    command(monkeypatch, capfd, "models", "add", str(path))
    before = stored(folder)
    own_weights(read_own("mine")).write_bytes(b"damaged")
    assert command(monkeypatch, capfd, "models", "add", str(path))[0] == 0
    assert stored(folder) == before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": REGISTERED[0]}, "is the name of a shipped model"),
        ({"weights": "mine.pt"}, "pickled weights"),
        ({"weights": "none.onnx"}, "no such file"),
        ({"sha256": "0" * 64}, "its manifest says 000"),
        ({"network": "none"}, "no network 'none'"),
        ({"input": {**FACE_INPUT, "side_px": "wide"}}, "side_px"),
        ({"input": {"length": 64, "source": "x", "num_frames": 1}}, "features of x, which is not registered"),
        ({"task": "voice"}, "does not take windows of sound"),
        (
            {
                "task": "voice",
                "input": {
                    **{"feature_set": "IS10", "length": 88, "window_s": 2.0},
                    **{"min_speech_share": 0.3, "standardised_over": 1},
                },
            },
            "takes 88 features of 2 s",
        ),
    ],
)
def test_what_can_not_be_used_is_one_line_and_leaves_nothing(
    changes: dict[str, object], said: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    path = write_safetensors(tmp_path, face_network())
    path.write_text(tomli_w.dumps(tomllib.loads(path.read_text()) | changes))
    code, out, err = command(monkeypatch, capfd, "models", "add", str(path))
    assert (code, out, len(err.splitlines())) == (cli.EXIT_USAGE, "", 1), err
    assert said in err
    assert not folder.exists() or stored(folder) == {}


def test_no_file_and_a_stray_option_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    code, _, err = command(monkeypatch, capfd, "models", "add", str(tmp_path / "none.toml"))
    assert (code, len(err.splitlines())) == (cli.EXIT_USAGE, 1) and "name the manifest" in err
    code, _, err = command(monkeypatch, capfd, "models", "--json", "add", "x")
    assert (code, len(err.splitlines())) == (cli.EXIT_USAGE, 1) and "leave them out" in err


def test_the_manifests_of_the_page_are_manifests(tmp_path: Path) -> None:
    face, voice, deep = (tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", DOCS, re.S))
    read = [
        parse_manifest(tomli_w.dumps({**face, **values, "sha256": "0" * 64}).encode(), tmp_path)
        for values in ({}, {"task": "voice", **voice}, deep)
    ]
    assert read[0].image_input() and read[1].sound_input() and isinstance(read[2].input, VectorInput)
