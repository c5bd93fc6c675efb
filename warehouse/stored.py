"""What earlier runs stored for models to come: crops of faces, features of sound."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from moodreel.schemas.values import RESTS_ON, Outcome
from moodreel.warehouse.lake import Lake

_SELECT = {
    "face": (
        "SELECT face_id, ts_s, track_id, image FROM crops JOIN faces USING (video_id, config_id, face_id)"
        " WHERE crops.video_id = ? AND crops.config_id = ? ORDER BY face_id"
    ),
    "voice": (
        "SELECT window_id, speech_share, features FROM audio_windows"
        " WHERE video_id = ? AND config_id = ? ORDER BY window_id"
    ),
}
STEP = {"face": "face_emotions", "voice": "voice_emotions"}


@dataclass(frozen=True, slots=True)
class StoredVideo:
    """A video with what is stored of it for one kind of model, `num_rows` faces or windows, and how that step went."""

    video_id: str
    path: str
    config_id: str
    outcome: Outcome
    detail: str | None
    num_rows: int


def unclassified(lake: Lake, task: str, model_id: str) -> list[StoredVideo]:
    """Return the videos whose newest faces ("face") or windows ("voice") lack this model's verdicts, by path."""
    rows = lake.query(
        """
        WITH source AS (
            SELECT video_id, step, arg_max(config_id, committed_at) AS config_id,
                   arg_max(outcome, committed_at) AS outcome, arg_max_null(detail, committed_at) AS detail,
                   arg_max(num_rows, committed_at) AS num_rows
            FROM steps WHERE step = ? GROUP BY video_id, step
        )
        SELECT video_id, path, config_id, outcome, detail, num_rows FROM source JOIN videos USING (video_id)
        WHERE NOT EXISTS (
            FROM steps WHERE steps.video_id = source.video_id AND steps.config_id = source.config_id
                AND step = ? AND model_id = ?
        )
            -- upkeep may have removed the crops: then nothing can be said, rather than that there are no faces
            AND (step <> 'faces' OR num_rows = 0 OR EXISTS (
                FROM crops WHERE crops.video_id = source.video_id AND crops.config_id = source.config_id
            ))
        ORDER BY path, video_id
        """,
        [RESTS_ON[STEP[task]], STEP[task], model_id],
    )
    return [
        StoredVideo(
            video_id=str(video_id),
            path=str(path),
            config_id=str(config_id),
            outcome=Outcome(str(outcome)),
            detail=str(detail) if detail else None,
            num_rows=int(str(num_rows)),
        )
        for video_id, path, config_id, outcome, detail, num_rows in rows
    ]


def count_videos(lake: Lake) -> int:
    """Return how many videos the warehouse knows."""
    [(count,)] = lake.query("SELECT count(*) FROM videos")
    return int(str(count))


def stored_rows(lake: Lake, task: str, video: StoredVideo) -> Iterator[pa.Table]:
    """Yield what a model of the task takes: `face_id, ts_s, track_id, image` or `window_id, speech_share, features`."""
    return lake.stream(_SELECT[task], [video.video_id, video.config_id])
