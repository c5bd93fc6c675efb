"""The closing table of a run, beside the views over the whole archive."""

from pathlib import Path

import pytest
from erasable import BOB, INFO, PATHS, ZOE, file, results

from moodreel.models.registry import read_manifest
from moodreel.warehouse.closing import closing_rows
from moodreel.warehouse.commit import commit_video
from moodreel.warehouse.lake import Lake
from moodreel.warehouse.records import record_sightings, register_models

MODEL = read_manifest("small-vgg")


def test_a_runs_videos_are_told_as_the_views_of_the_whole_archive_tell_them(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for run, video in (("before", BOB), ("now", ZOE), ("now", "5e" * 32)):
        record_sightings(lake, run, [file(video)])
        commit_video(lake, run, file(video), INFO, results(video, "settings", 20, MODEL.model_id), 1.5)
    register_models(lake, [MODEL])
    rows = closing_rows(lake, "now", MODEL.model_id, None)
    assert [(path, people, emotion, voice, seconds) for path, people, emotion, _, voice, _, seconds in rows] == [
        ("/v/5e.mp4", 2, "sad", None, 1.5),
        (PATHS[ZOE], 2, "sad", None, 1.5),
    ]
    [(share, verdict)] = lake.query(
        "SELECT dominant_share, emotion FROM video_emotions JOIN video_verdict USING (video_id)"
        " WHERE video_id = ? AND from_s IS NULL",
        [ZOE],
    )
    assert rows[1][3] == pytest.approx(share) and rows[1][5] == verdict is not None
    assert closing_rows(lake, "before", MODEL.model_id, None)[0][0] == PATHS[BOB]
    assert closing_rows(lake, "never", MODEL.model_id, None) == closing_rows(lake, "now", "unknown", None) == []
    lake.close()
