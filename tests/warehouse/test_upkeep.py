"""Upkeep on a real lake of many small commits."""

import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from lakes import keep_up
from rows import reader

from moodreel.schemas.values import FileStamp, Outcome, StepKey, StepResult, VideoFile, VideoInfo
from moodreel.warehouse.commit import commit_video
from moodreel.warehouse.lake import Lake
from moodreel.warehouse.upkeep import (
    drop_old_analyses,
    drop_old_crops,
    expire_snapshots,
    flush_inlined,
    measure,
    merge_files,
    remove_files,
)

NOW, DAY = timedelta(0), timedelta(days=1)


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    opened = Lake(tmp_path / "w")
    yield opened
    opened.close()


def commit(lake: Lake, video: str, config: str = "c", model: str | None = None, num_faces: int = 20) -> None:
    """Commit faces with crops, and under a model the faces' emotions, here without values."""
    key: dict[str, object] = {"video_id": video, "config_id": config}
    crops = [{**key, "face_id": number, "image": b"jpeg" * 50} for number in range(num_faces)]
    steps = [StepResult(StepKey("faces", config, None), Outcome.OK, None, {"crops": reader("crops", crops)})]
    if model is not None:
        features = [{**key, "face_id": number, "model_id": model, "features": [0.5]} for number in range(num_faces)]
        tables = {"face_features": reader("face_features", features)}
        steps.append(StepResult(StepKey("face_features", config, model), Outcome.OK, None, tables))
    file = VideoFile(f"/v/{video}.mp4", FileStamp(1, 1, 1), video)
    commit_video(lake, "r", file, VideoInfo(2.0, 5.0, 64, 64, "h264", None, 0), steps, 1.0)


def counts(lake: Lake, table: str) -> dict[object, object]:
    return dict(lake.query(f"SELECT video_id || ' ' || config_id, count(*) FROM {table} GROUP BY 1"))


def test_small_files_become_few_and_nothing_is_lost(lake: Lake) -> None:
    for number in range(12):
        commit(lake, f"v{number}", model="m")
    commit(lake, "few", num_faces=1)  # stays in the catalog
    before, rows = measure(lake), counts(lake, "crops")
    keep_up(lake)
    after = measure(lake)
    assert counts(lake, "crops") == rows and len(rows) == 13
    assert before.num_files > 20 > 10 > after.num_files
    assert after.num_snapshots == 1 < before.num_snapshots
    assert after.data_bytes < before.data_bytes
    inlined = lake.query("SELECT count(*) FROM ducklake_list_files('lake', 'videos')")
    assert inlined == [(1,)]


def test_young_files_and_snapshots_stay(lake: Lake) -> None:
    for number in range(4):
        commit(lake, f"v{number}")
    flush_inlined(lake)
    merge_files(lake)
    stray = lake.folder / "data" / "main" / "crops" / "stray.parquet"
    stray.write_bytes(b"of a commit that goes on")
    before = measure(lake)
    expire_snapshots(lake, DAY)
    remove_files(lake, DAY)
    assert measure(lake) == before
    os.utime(stray, (0, 0))  # older than a day
    remove_files(lake, DAY)
    assert not stray.exists() and measure(lake).num_files == before.num_files - 1


def test_what_lies_in_the_catalog_is_written_out_by_a_single_thread(lake: Lake) -> None:
    # two threads tear a list that DuckLake keeps of the tables
    commit(lake, "a", model="m")
    merge_files(lake)  # DuckDB's second thread is there by now
    process, is_done, seen = psutil.Process(), threading.Event(), [0]

    def look() -> None:
        while not is_done.is_set():
            seen.append(process.num_threads())

    looking = threading.Thread(target=look)
    looking.start()
    seen[:] = [process.num_threads()]
    flush_inlined(lake)
    is_done.set()
    looking.join()
    assert min(seen) < seen[0]
    assert lake.query("SELECT current_setting('threads')") == [(2,)]


def test_a_removal_killed_half_way_is_finished(lake: Lake) -> None:
    for number in range(4):
        commit(lake, f"v{number}")
    merge_files(lake)
    expire_snapshots(lake, NOW)
    table = "__ducklake_metadata_lake.ducklake_files_scheduled_for_deletion"
    [(path,), *_] = lake.query(f"SELECT path FROM {table}")
    (lake.folder / "data" / str(path)).unlink()  # the file went, its row did not
    remove_files(lake, NOW)
    assert lake.query(f"SELECT count(*) FROM {table}") == [(0,)]
    assert sum(int(str(count)) for count in counts(lake, "crops").values()) == 80


def test_old_crops_go_and_the_rest_of_the_video_stays(lake: Lake) -> None:
    commit(lake, "old", model="m")
    lake.transact(lambda connection: connection.execute("UPDATE steps SET committed_at = now() - INTERVAL 40 DAY"))
    commit(lake, "new", model="m")
    assert drop_old_crops(lake, 30 * DAY) == 20
    assert counts(lake, "crops") == {"new c": 20}
    assert counts(lake, "face_features") == {"old c": 20, "new c": 20}
    assert counts(lake, "steps") == {"old c": 2, "new c": 2}
    snapshots = measure(lake).num_snapshots
    assert drop_old_crops(lake, 30 * DAY) == 0
    assert measure(lake).num_snapshots == snapshots


def test_rows_of_replaced_settings_go_with_their_steps(lake: Lake) -> None:
    for video in "ab":
        commit(lake, video, "c1", "m")
    commit(lake, "a", "c2", "m")
    commit(lake, "b", "c2", "other")  # of b the model m has judged c1 alone
    assert drop_old_analyses(lake, DAY) == 0
    assert drop_old_analyses(lake, NOW) == 2 * 20 + 2
    assert counts(lake, "crops") == {"a c2": 20, "b c1": 20, "b c2": 20}
    assert counts(lake, "face_features") == {"a c2": 20, "b c1": 20, "b c2": 20}
    assert counts(lake, "steps") == {"a c2": 2, "b c1": 2, "b c2": 2}
