"""The tallies say what counting the rows says, whoever wrote or removed rows."""

from pathlib import Path

import pytest
from rows import reader

from moodreel.schemas.labels import LABELS
from moodreel.schemas.values import FileStamp, Outcome, StepKey, StepResult, VideoFile, VideoInfo
from moodreel.warehouse.commit import commit_steps, commit_video
from moodreel.warehouse.lake import Lake
from moodreel.warehouse.tallies import TALLY_OF

NUM_FRAMES = 40


def emotions(video: str, model: str) -> StepResult:
    """A face in each frame but every fourth, of three people and all expressions."""
    rows = []
    for number in range(NUM_FRAMES):
        label = LABELS[number * number % 7]
        probabilities = {name: 0.4 + number / 200 if name == label else 0.1 - number / 1200 for name in LABELS}
        ids = {"video_id": video, "config_id": "c", "face_id": number, "model_id": model, "track_id": number % 3}
        rows.append({**ids, "ts_s": number / 5, **probabilities, "label": label})
    kept = [row for number, row in enumerate(rows) if number % 4]
    return StepResult(
        StepKey("face_emotions", "c", model), Outcome.OK, None, {"face_emotions": reader("face_emotions", kept)}
    )


def fill(lake: Lake) -> None:
    for video in ("one", "two"):
        frames = [
            {"video_id": video, "config_id": "c", "ts_s": n / 5, "num_faces": int(n % 4 > 0)} for n in range(NUM_FRAMES)
        ]
        faces = StepResult(StepKey("faces", "c", None), Outcome.OK, None, {"frames": reader("frames", frames)})
        file = VideoFile(f"/v/{video}.mp4", FileStamp(1, 1, 1), video)
        commit_video(lake, "r", file, VideoInfo(8.0, 5.0, 64, 64, "h264", None, 0), [faces, emotions(video, "m")], 1.0)
        commit_steps(lake, "r", video, [emotions(video, "newer")], 1.0)


def assert_counted(lake: Lake) -> None:
    """Compare with the rows: no row in one and not in the other."""
    means = ", ".join(f"round(avg({label}), 9)" for label in LABELS)
    tallied = ", ".join(f"round({label}, 9)" for label in LABELS)
    keys = "video_id, config_id, model_id, track_id, label"
    counted = f"SELECT {keys}, count(*), min(ts_s), max(ts_s), {means} FROM face_emotions GROUP BY {keys}"
    kept = f"SELECT {keys}, num_faces, first_s, last_s, {tallied} FROM face_tallies"
    rows = lake.query(counted)
    assert rows
    assert sorted(map(repr, lake.query(kept))) == sorted(map(repr, rows))
    # five frames a second, three of four with a face, each until the next; the last one is as long as the one before
    assert lake.query("SELECT * FROM frame_tallies ORDER BY video_id") == [
        (video, "c", NUM_FRAMES, pytest.approx(NUM_FRAMES / 5 * 0.75)) for video in ("one", "two")
    ]


def test_a_commit_and_a_rerun_count_their_rows(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    fill(lake)
    assert_counted(lake)
    lake.close()


def test_a_warehouse_of_before_is_counted_when_it_is_opened(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    fill(lake)
    for tally in TALLY_OF.values():
        lake.transact(lambda connection, tally=tally: connection.execute(f"DROP TABLE {tally}"))  # type: ignore[misc]  # mypy sees no type in the defaults
    lake.close()
    lake = Lake(tmp_path)
    assert_counted(lake)
    lake.close()
