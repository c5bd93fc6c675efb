"""`model_disagreement` over hand-made faces: every pair of models of a video, once."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from rows import reader

from moodreel.schemas.labels import LABELS
from moodreel.schemas.values import FileStamp, Outcome, StepKey, StepResult, VideoFile, VideoInfo
from moodreel.warehouse.commit import commit_video
from moodreel.warehouse.lake import Lake

COLUMNS = (
    *("video_id", "path", "model_a", "model_b", "dominant_a", "dominant_b", "has_changed"),
    *("share_a", "share_b", "distance", "num_faces"),
)


def commit(lake: Lake, video: str, config: str, verdicts: dict[str, list[str]], sure: str = "") -> None:
    """Commit a video's faces and, by model, the label of each; that of `sure` has the higher probabilities."""
    results = [StepResult(StepKey("faces", config, None), Outcome.OK, None, {})]
    for model, labels in verdicts.items():
        rows = [
            {"video_id": video, "config_id": config, "face_id": number, "model_id": model, "ts_s": number / 5}
            | {"track_id": 0, "label": label}
            | {name: 0.01 if name != label else 0.94 if name == sure else 0.5 for name in LABELS}
            for number, label in enumerate(labels)
        ]
        tables = {"face_emotions": reader("face_emotions", rows)}
        results.append(StepResult(StepKey("face_emotions", config, model), Outcome.OK, None, tables))
    file = VideoFile(f"/v/{video}.mp4", FileStamp(1, 1, 1), video)
    commit_video(lake, "r", file, VideoInfo(2.0, 5.0, 64, 64, "h264", None, 0), results, 1.0)


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    lake = Lake(tmp_path)
    yield lake
    lake.close()


def disagreements(lake: Lake) -> list[dict[str, object]]:
    assert tuple(row[0] for row in lake.query("DESCRIBE model_disagreement")) == COLUMNS
    rows = lake.query("SELECT * FROM model_disagreement ORDER BY video_id, model_a, model_b")
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows]


def test_each_pair_of_models_is_one_row_in_the_order_of_their_names(lake: Lake) -> None:
    commit(lake, "v", "c", {"b": ["happy"], "c": ["sad"], "a": ["happy"]})
    pairs = [(row["model_a"], row["model_b"], row["has_changed"]) for row in disagreements(lake)]
    assert pairs == [("a", "b", False), ("a", "c", True), ("b", "c", True)]


def test_shares_and_distance_say_by_how_much(lake: Lake) -> None:
    first, second = ["happy", "happy", "happy", "sad", "fear"], ["sad", "sad", "sad", "happy", "fear"]
    commit(lake, "v", "c", {"old": second, "new": first})
    [row] = disagreements(lake)
    count, other = Counter(first), Counter(second)
    assert row == {
        **{"video_id": "v", "path": "/v/v.mp4", "model_a": "new", "model_b": "old", "num_faces": 5},
        **{"dominant_a": "happy", "dominant_b": "sad", "has_changed": True},
        **{"share_a": pytest.approx(0.6), "share_b": pytest.approx(0.6)},
        "distance": pytest.approx(sum(abs(count[name] - other[name]) for name in LABELS) / 2 / 5),
    }


def test_the_distance_reaches_from_nothing_to_one(lake: Lake) -> None:
    commit(lake, "same", "c", {"a": ["happy", "sad"], "b": ["sad", "happy"]})
    commit(lake, "wholly other", "c", {"a": ["angry", "sad"], "b": ["neutral", "neutral"]})
    # the same dominant emotion, and yet others beside it
    commit(lake, "partly", "c", {"a": ["happy", "happy", "sad"], "b": ["happy", "happy", "fear"]})
    rows = {row["video_id"]: (row["has_changed"], row["distance"]) for row in disagreements(lake)}
    assert rows == {
        "same": (False, pytest.approx(0)),
        "wholly other": (True, pytest.approx(1)),
        "partly": (False, pytest.approx(1 / 3)),
    }


def test_a_video_without_faces_gives_nothing_to_compare(lake: Lake) -> None:
    commit(lake, "empty", "c", {"a": [], "b": []})
    [row] = disagreements(lake)
    assert (row["has_changed"], row["num_faces"]) == (False, 0)
    assert [row[name] for name in ("dominant_a", "dominant_b", "share_a", "share_b", "distance")] == [None] * 5


def test_models_that_saw_other_faces_are_not_compared(lake: Lake) -> None:
    commit(lake, "v", "c1", {"early": ["happy"], "both": ["happy"]})
    commit(lake, "v", "c2", {"both": ["sad", "sad"], "late": ["sad", "fear"]})
    pairs = [(row["model_a"], row["model_b"], row["num_faces"]) for row in disagreements(lake)]
    assert pairs == [("both", "late", 2)]


def test_the_dominant_emotion_is_that_of_video_emotions_also_in_a_tie(lake: Lake) -> None:
    labels = {"a": ["angry", "sad", "sad", "angry", "fear"], "b": ["happy", "fear", "fear", "happy"]}
    commit(lake, "sad", "c", labels, sure="sad")
    commit(lake, "happy", "c", labels, sure="happy")
    rows = {row["video_id"]: (row["dominant_a"], row["dominant_b"]) for row in disagreements(lake)}
    assert rows == {"sad": ("sad", "fear"), "happy": ("angry", "happy")}
    for side in ("a", "b"):
        differing = lake.query(
            f"SELECT * FROM model_disagreement AS d JOIN video_emotions AS v"
            f" ON v.video_id = d.video_id AND v.model_id = d.model_{side}"
            f" WHERE v.dominant_emotion <> d.dominant_{side} OR abs(v.dominant_share - d.share_{side}) > 1e-9"
        )
        assert differing == []
