from contextlib import closing
from pathlib import Path

from pictures import noise_picture
from rows import reader

from moodreel.flows.rerun import _classify_video, _load
from moodreel.models.registry import read_manifest
from moodreel.schemas.values import FileStamp, Outcome, StepKey, StepResult, VideoFile, VideoInfo
from moodreel.warehouse.commit import commit_video
from moodreel.warehouse.lake import Lake
from moodreel.warehouse.staging import StagingArea
from moodreel.warehouse.stored import unclassified


def test_crops_that_go_after_planning_are_no_verdict_of_no_faces(tmp_path: Path) -> None:
    with closing(Lake(tmp_path)) as lake, closing(StagingArea(tmp_path, "r")) as staging:
        face = {"video_id": "v", "config_id": "c", "face_id": 0}
        box = {"x0": 0.0, "y0": 0.0, "x1": 48.0, "y1": 48.0, "detection_score": 1.0, "landmarks": [0.0] * 10}
        rows = {
            "faces": reader("faces", [{**face, "ts_s": 0.0, "track_id": 0, **box}]),
            "crops": reader("crops", [{**face, "image": noise_picture(0)}]),
        }
        step = StepResult(StepKey("faces", "c", None), Outcome.OK, None, rows)
        file = VideoFile("/v/a.mp4", FileStamp(1, 1, 1), "v")
        commit_video(lake, "r", file, VideoInfo(1.0, 5.0, 64, 64, "h264", None, 0), [step], 1.0)
        manifest = read_manifest("small-vgg")
        [video] = unclassified(lake, "face", manifest.model_id)
        kept = lake.query("SELECT image FROM crops")
        lake.transact(lambda connection: connection.execute("DELETE FROM crops"))
        assert not _classify_video(lake, "r", staging, manifest, _load(manifest), video)
        assert lake.query("SELECT 1 FROM steps WHERE step = 'face_emotions'") == []
        assert unclassified(lake, "face", manifest.model_id) == [], "nothing can be said of it any more"

        lake.transact(lambda connection: connection.execute("INSERT INTO crops VALUES ('v', 'c', 0, ?)", kept[0]))
        assert _classify_video(lake, "r", staging, manifest, _load(manifest), video)
        assert lake.query("SELECT num_rows FROM steps WHERE step = 'face_emotions'") == [(1,)]
