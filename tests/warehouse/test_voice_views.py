"""`video_voice` and `video_verdict` over hand-made rows, against figures worked out by hand."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from rows import reader

from moodreel.schemas.labels import LABELS
from moodreel.schemas.values import FileStamp, Outcome, StepKey, StepResult, VideoFile, VideoInfo
from moodreel.warehouse.append import append_rows
from moodreel.warehouse.commit import commit_video
from moodreel.warehouse.lake import Lake

Face = tuple[float, int, str, float]  # second, person, label, its probability; the rest is spread evenly
Window = tuple[int, float, str | None, float]  # number, share of speech, label, its probability
FACE_WORTH, VOICE_WORTH = 0.8, 0.4  # how often the models are right, whatever they say


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    lake = Lake(tmp_path)
    models = [
        {
            "model_id": task,
            "name": task,
            "version": "1",
            "sha256": "0",
            "task": task,
            "labels": list(LABELS),
            "licence": "none",
            "trained_on": "none",
            "metrics": "{}",
            "reliability": json.dumps(dict.fromkeys(LABELS, worth)),
        }
        for task, worth in (("face", FACE_WORTH), ("voice", VOICE_WORTH))
    ]
    lake.transact(lambda connection: append_rows(connection, "models", models))
    yield lake
    lake.close()


def spread(label: str | None, probability: float) -> dict[str, float | None]:
    if label is None:
        return dict.fromkeys(LABELS)
    return {name: probability if name == label else (1 - probability) / 6 for name in LABELS}


def commit(
    lake: Lake,
    video: str,
    faces: list[Face] | None,
    windows: list[Window] | None,
    sound: Outcome = Outcome.OK,
) -> None:
    """Commit a video with a face step, a voice step or both."""
    ids = {"video_id": video, "config_id": "c"}
    results = []
    if faces is not None:
        rows = [
            {
                **ids,
                "face_id": i,
                "model_id": "face",
                "ts_s": ts_s,
                "track_id": track,
                **spread(label, p),
                "label": label,
            }
            for i, (ts_s, track, label, p) in enumerate(faces)
        ]
        results.append(StepResult(StepKey("faces", "c", None), Outcome.OK, None, {}))
        step = StepKey("face_emotions", "c", "face")
        results.append(StepResult(step, Outcome.OK, None, {"face_emotions": reader("face_emotions", rows)}))
    if windows is not None:
        heard = [
            {**ids, "window_id": i, "t0_s": float(i), "t1_s": i + 2.0, "speech_share": share, "features": [0.0]}
            for i, share, _, _ in windows
        ]
        said = [
            {**ids, "window_id": i, "model_id": "voice", **spread(label, p), "label": label}
            for i, _, label, p in windows
        ]
        tables = {"audio_windows": reader("audio_windows", heard)}
        results.append(StepResult(StepKey("audio_windows", "c", None), sound, None, tables))
        tables = {"voice_emotions": reader("voice_emotions", said)}
        results.append(StepResult(StepKey("voice_emotions", "c", "voice"), sound, None, tables))
    file = VideoFile(f"/{video}.mp4", FileStamp(1, 1, 1), video)
    commit_video(lake, "run", file, VideoInfo(20.0, 25.0, 64, 64, "h264", None, 0), results, 1.0)


def voice_of(lake: Lake, video: str) -> tuple[object, ...]:
    [row] = lake.query(
        "SELECT sound, dominant_emotion, dominant_share, confidence, num_windows, seconds_of_speech"
        " FROM video_voice WHERE video_id = ?",
        [video],
    )
    return row


def verdicts(lake: Lake, video: str, columns: str) -> list[tuple[object, ...]]:
    return lake.query(f"SELECT {columns} FROM video_verdict WHERE video_id = ? ORDER BY from_s NULLS FIRST", [video])


def test_the_dominant_voice_is_that_of_most_windows_with_speech(lake: Lake) -> None:
    windows: list[Window] = [
        (0, 1.0, "sad", 0.5),
        (1, 0.5, "sad", 0.7),
        (2, 0.5, "angry", 0.9),
        (3, 0.0, None, 0.0),
    ]
    commit(lake, "a", None, windows)
    # four windows of 2 s cover 5 s: each second of them stands for 5/8
    assert voice_of(lake, "a") == ("ok", "sad", pytest.approx(2 / 3), pytest.approx(0.6), 3, pytest.approx(4 * 5 / 8))


def test_of_equally_many_windows_the_higher_mean_wins(lake: Lake) -> None:
    commit(lake, "a", None, [(0, 1.0, "angry", 0.4), (1, 1.0, "sad", 0.9)])
    assert voice_of(lake, "a")[1] == "sad"


@pytest.mark.parametrize("sound", [Outcome.NONE, Outcome.SILENT, Outcome.BROKEN])
def test_a_video_without_a_voice_has_a_row_that_says_why(lake: Lake, sound: Outcome) -> None:
    commit(lake, "a", None, [], sound)
    assert voice_of(lake, "a") == (sound.value, None, None, None, 0, 0)


def test_face_and_voice_are_pooled_by_their_worth(lake: Lake) -> None:
    commit(lake, "a", [(0.0, 0, "happy", 0.5)], [(0, 1.0, "angry", 0.8)])
    whole, stretch = verdicts(
        lake,
        "a",
        "from_s, face_emotion, voice_emotion, emotion, confidence,"
        " rests_on, face_weight, voice_weight, face_confidence",
    )
    powers = {
        name: math.exp((2 * math.log(face) + math.log(voice)) / 3)
        for name, face, voice in zip(LABELS, spread("happy", 0.5).values(), spread("angry", 0.8).values(), strict=True)
        if face and voice
    }
    best = max(powers, key=lambda name: powers[name])
    assert whole[:4] == (None, "happy", "angry", best)
    assert whole[4] == pytest.approx(powers[best] / sum(powers.values()))
    assert whole[5:] == ("face and voice", pytest.approx(2 / 3), pytest.approx(1 / 3), pytest.approx(0.5))
    assert stretch[0] == 0 and stretch[1:] == whole[1:]


def test_a_sure_voice_overrules_an_unsure_face(lake: Lake) -> None:
    commit(lake, "a", [(0.0, 0, "happy", 0.16)], [(0, 1.0, "angry", 0.9)])
    assert {row[0] for row in verdicts(lake, "a", "emotion")} == {"angry"}


@pytest.mark.parametrize(
    ("faces", "windows", "rests_on", "emotion"),
    [
        ([(0.0, 0, "fear", 0.6)], [], "face", "fear"),
        ([(0.0, 0, "fear", 0.6)], None, "face", "fear"),
        ([(0.0, 0, "fear", 0.6)], [(0, 0.1, None, 0.0)], "face", "fear"),
        ([], [(0, 0.9, "sad", 0.7)], "voice", "sad"),
        (None, [(0, 0.9, "sad", 0.7)], "voice", "sad"),
        ([], [], "none", None),
    ],
)
def test_what_is_missing_is_left_out_and_said(
    lake: Lake, faces: list[Face] | None, windows: list[Window] | None, rests_on: str, emotion: str | None
) -> None:
    commit(lake, "a", faces, windows)
    whole, *stretches = verdicts(lake, "a", "rests_on, emotion, face_weight, voice_weight")
    assert whole == (rests_on, emotion, float(rests_on == "face"), float(rests_on == "voice"))
    assert stretches == ([whole] if emotion else [])


def test_stretches_of_ten_seconds_have_rows_of_their_own(lake: Lake) -> None:
    faces: list[Face] = [(1.0, 0, "happy", 0.9), (9.9, 0, "happy", 0.9), (10.0, 0, "sad", 0.9)]
    commit(lake, "a", faces, [(8, 1.0, "happy", 0.9), (9, 1.0, "angry", 0.9)])
    # the second window, 9 to 11 s, has its middle in the second stretch
    found = verdicts(lake, "a", "from_s, face_emotion, voice_emotion")
    assert found[1:] == [(0, "happy", "happy"), (10, "sad", "angry")]


def test_the_voice_goes_to_a_person_only_if_nobody_else_is_seen(lake: Lake) -> None:
    faces: list[Face] = [
        (1.0, 7, "happy", 0.9),
        (11.0, 7, "happy", 0.9),
        (12.0, 8, "sad", 0.9),
        (21.0, 8, "sad", 0.9),
    ]
    commit(lake, "a", faces, [(2, 1.0, "happy", 0.9), (12, 1.0, "happy", 0.9), (22, 0.0, None, 0.0)])
    assert verdicts(lake, "a", "from_s, track_id") == [(None, None), (0, 7), (10, None), (20, None)]


def test_an_unknown_reliability_weighs_like_guessing(lake: Lake) -> None:
    lake.transact(lambda connection: connection.execute("UPDATE models SET reliability = NULL WHERE task = 'voice'"))
    commit(lake, "a", [(0.0, 0, "happy", 0.5)], [(0, 1.0, "angry", 0.8)])
    weight = verdicts(lake, "a", "voice_weight")[0][0]
    assert weight == pytest.approx((1 / 7) / (1 / 7 + FACE_WORTH))
