"""Each view over ten hand-made faces of three videos."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from rows import reader

from moodreel.schemas.labels import LABELS
from moodreel.schemas.reasons import Reason, VideoError
from moodreel.schemas.values import FileStamp, Outcome, RunCounts, StepKey, StepResult, VideoFile, VideoInfo
from moodreel.warehouse.commit import commit_video
from moodreel.warehouse.lake import Lake
from moodreel.warehouse.records import finish_run, record_failure, start_run

# (second, person, label, its probability); the rest is spread evenly
FACES = {
    "joy": [
        (0.0, 0, "happy", 0.9),
        (0.2, 0, "happy", 0.7),
        (0.4, 1, "sad", 0.6),
        (1.2, 0, "happy", 0.8),
        (1.4, 1, "sad", 0.5),
    ],
    # two against two: happy has the higher mean probability over all faces
    "tie": [
        (0.0, 0, "angry", 0.4),
        (0.2, 0, "angry", 0.4),
        (0.4, 0, "happy", 0.9),
        (0.6, 1, "happy", 0.9),
        (0.6, 2, "fear", 0.6),
    ],
    "empty": [],
}


def face_rows(video: str, config: str, model: str) -> list[dict[str, object]]:
    rows = []
    for number, (ts_s, track, label, probability) in enumerate(FACES[video]):
        rest = (1 - probability) / 6
        values = {name: probability if name == label else rest for name in LABELS}
        ids = {"video_id": video, "config_id": config, "face_id": number, "model_id": model}
        rows.append({**ids, "ts_s": ts_s, "track_id": track, **values, "label": label})
    return rows


def commit(
    lake: Lake,
    video: str,
    config: str,
    model: str,
    labels: dict[str, str] | None = None,
    empty_at: tuple[float, ...] = (2.0,),
) -> None:
    faces = face_rows(video, config, model)
    for row in faces:
        row["label"] = (labels or {}).get(str(row["label"]), row["label"])
    times = sorted({float(str(row["ts_s"])) for row in faces} | set(empty_at))
    frames = [
        {"video_id": video, "config_id": config, "ts_s": t, "num_faces": sum(row["ts_s"] == t for row in faces)}
        for t in times
    ]
    results = [
        StepResult(StepKey("faces", config, None), Outcome.OK, None, {"frames": reader("frames", frames)}),
        StepResult(
            StepKey("face_emotions", config, model), Outcome.OK, None, {"face_emotions": reader("face_emotions", faces)}
        ),
    ]
    file = VideoFile(f"/v/{video}.mp4", FileStamp(1, 1, 1), video)
    commit_video(lake, "r", file, VideoInfo(2.0, 5.0, 64, 64, "h264", None, 0), results, 4.0)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    start_run(lake, "r", "nightly", "{}", "1")
    for video in FACES:
        commit(lake, video, "c1", "m")
    record_failure(lake, "r", "/v/bad.mp4", "bad", VideoError(Reason.NOT_A_VIDEO, "text", "probe"), 1)
    finish_run(lake, "r", "completed", RunCounts(3, 0, 1, 0))
    yield lake
    lake.close()


def view(lake: Lake, sql: str) -> list[dict[str, object]]:
    names = [row[0] for row in lake.query(f"DESCRIBE {sql}")]
    return [dict(zip(names, row, strict=True)) for row in lake.query(sql)]


def test_video_emotions_columns(lake: Lake) -> None:
    [row] = view(lake, "SELECT * FROM video_emotions WHERE video_id = 'joy'")
    assert list(row) == [
        *("video_id", "path", "model_id", "dominant_emotion", "dominant_share", "confidence"),
        *("num_frames", "num_faces", "num_people", "seconds_with_face"),
        *(f"share_{label}" for label in LABELS),
    ]


def test_the_dominant_emotion_is_the_label_of_most_faces(lake: Lake) -> None:
    [row] = view(lake, "SELECT * FROM video_emotions WHERE video_id = 'joy'")
    assert (row["dominant_emotion"], row["dominant_share"]) == ("happy", pytest.approx(0.6))
    assert row["confidence"] == pytest.approx((0.9 + 0.7 + 0.8) / 3)
    assert (row["num_frames"], row["num_faces"], row["num_people"]) == (6, 5, 2)
    # frames at 0, .2, .4, 1.2, 1.4 have faces and stand until the next one, the last of them until 2.0
    assert row["seconds_with_face"] == pytest.approx(2.0)
    assert (row["share_happy"], row["share_sad"], row["share_angry"]) == (pytest.approx(0.6), pytest.approx(0.4), 0)


def test_a_tie_goes_to_the_higher_mean_probability(lake: Lake) -> None:
    [row] = view(lake, "SELECT dominant_emotion, dominant_share, num_people FROM video_emotions WHERE video_id = 'tie'")
    assert row == {"dominant_emotion": "happy", "dominant_share": pytest.approx(0.4), "num_people": 3}


def test_a_video_without_faces_has_a_row_of_null(lake: Lake) -> None:
    [row] = view(lake, "SELECT * FROM video_emotions WHERE video_id = 'empty'")
    assert (row["dominant_emotion"], row["dominant_share"], row["confidence"], row["share_happy"]) == (None,) * 4
    assert (row["num_frames"], row["num_faces"], row["num_people"], row["seconds_with_face"]) == (1, 0, 0, 0)


def test_person_emotions(lake: Lake) -> None:
    rows = view(lake, "SELECT * FROM person_emotions WHERE video_id = 'joy' ORDER BY track_id")
    names = ["video_id", "track_id", "model_id", "dominant_emotion", "dominant_share", "first_s", "last_s", "num_faces"]
    assert list(rows[0]) == names
    assert [tuple(row.values())[1:] for row in rows] == [
        (0, "m", "happy", 1.0, 0.0, 1.2, 3),
        (1, "m", "sad", 1.0, 0.4, 1.4, 2),
    ]


def test_emotion_timeline(lake: Lake) -> None:
    rows = view(lake, "SELECT * FROM emotion_timeline WHERE video_id = 'joy' ORDER BY second")
    assert list(rows[0]) == ["video_id", "model_id", "second", "label", *LABELS, "num_faces"]
    assert [(row["second"], row["label"], row["num_faces"]) for row in rows] == [(0, "happy", 3), (1, "happy", 2)]
    assert rows[1]["happy"] == pytest.approx((0.8 + 0.5 / 6) / 2)


def test_run_health(lake: Lake) -> None:
    [row] = view(lake, "SELECT * FROM run_health")
    assert (row["state"], row["num_videos"], row["num_failed"]) == ("completed", 4, 1)
    assert row["failures_by_reason"] == {"not_a_video": 1}
    assert row["video_seconds"] == 6.0
    slowest = row["slowest_videos"]
    assert isinstance(slowest, list) and {"path": "/v/joy.mp4", "seconds": 4.0} in slowest


def test_views_use_the_newest_configuration(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    commit(lake, "joy", "c1", "m")
    commit(lake, "joy", "c2", "m", labels={"happy": "surprise"})
    commit(lake, "joy", "c2", "other")
    commit(lake, "joy", "c3", "third", empty_at=(2.0, 2.2))  # more frames than the others were given
    rows = lake.query("SELECT model_id, dominant_emotion, num_frames, num_faces FROM video_emotions ORDER BY model_id")
    assert rows == [("m", "surprise", 6, 5), ("other", "happy", 6, 5), ("third", "happy", 7, 5)]
    assert lake.query("SELECT DISTINCT dominant_emotion FROM person_emotions WHERE model_id = 'm' ORDER BY 1") == [
        ("sad",),
        ("surprise",),
    ]
    assert lake.query("SELECT sum(num_faces) FROM emotion_timeline WHERE model_id = 'm'") == [(5,)]
    lake.close()
