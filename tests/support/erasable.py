"""A warehouse worth erasing from: inlined rows, several files, merged ones, several snapshots, leftovers."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from rows import reader

from moodreel.schemas.labels import LABELS
from moodreel.schemas.reasons import Reason, VideoError
from moodreel.schemas.tables import ALL_TABLES, TABLES
from moodreel.schemas.values import FileStamp, Outcome, StepKey, StepResult, VideoFile, VideoInfo
from moodreel.warehouse.append import append_rows
from moodreel.warehouse.commit import commit_steps, commit_video
from moodreel.warehouse.lake import Lake
from moodreel.warehouse.leases import VIDEO, Leases
from moodreel.warehouse.records import record_failure, record_sightings

INFO = VideoInfo(2.0, 25.0, 160, 96, "h264", None, 0)
ZOE, BOB = "f0" * 32, "0a" * 32  # of all ids the greatest and the least
PATHS = {ZOE: "/v/zoë's.mp4", BOB: "/v/bob.mp4"}
SHARED = "/v/overwritten.mp4"
PERSON = f"{ZOE}:1"
WITH_A_VIDEO = [table.name for table in ALL_TABLES if "video_id" in table.schema.names]


def file(video_id: str, path: str | None = None) -> VideoFile:
    return VideoFile(path or PATHS.get(video_id, f"/v/{video_id[:2]}.mp4"), FileStamp(10, 20, 30), video_id)


def face_rows(video: str, config: str, num_frames: int) -> list[dict[str, object]]:
    """Two people in every frame, of which person 1 is the second; the columns of all tables of faces."""
    rows: list[dict[str, object]] = []
    for face_id in range(2 * num_frames):
        ids = {"video_id": video, "config_id": config, "face_id": face_id, "track_id": face_id % 2}
        box = dict.fromkeys(("x0", "y0", "x1", "y1"), 900.0 + face_id if face_id % 2 else 1.0)
        look = {"detection_score": 0.5, "landmarks": [1.0] * 10, "image": picture(video, face_id)}
        verdict = {**dict.fromkeys(LABELS, 0.1), "label": "sad", "features": [0.5] * 4}
        rows.append({**ids, "ts_s": face_id // 2 / 5, **box, **look, **verdict})
    return rows


def results(video: str, config: str, num_frames: int, model: str = "m") -> list[StepResult]:
    faces = face_rows(video, config, num_frames)
    frames = [{**row, "num_faces": 2} for row in faces[::2]]
    tables = {"frames": frames, "faces": faces} | ({} if video == ZOE else {"crops": faces})
    of_faces = {name: read(name, rows) for name, rows in tables.items()}
    steps = [StepResult(StepKey("faces", config, None), Outcome.OK, None, of_faces)]
    for table in ("face_emotions", "face_features"):
        rows = read(table, [{**row, "model_id": model} for row in faces])
        steps.append(StepResult(StepKey(table, config, model), Outcome.OK, None, {table: rows}))
    return steps


def read(table: str, rows: list[dict[str, object]]) -> Callable[[], pa.RecordBatchReader]:
    return reader(table, [{name: row[name] for name in TABLES[table].schema.names} for row in rows])


def made_up(kind: pa.DataType) -> object:
    if pa.types.is_list(kind):
        return [made_up(kind.value_type)]
    if pa.types.is_timestamp(kind):
        return datetime.now(UTC)
    return "{}" if kind == pa.json_() else pa.scalar(1).cast(kind).as_py()


def picture(video: str, face_id: int) -> bytes:
    return b"\xff\xd8" + f"{video[:4]} person {face_id % 2} face {face_id:6d} ".encode() * 6


def fill(folder: Path) -> None:
    """Four videos: rows in files and in the catalog, an old analysis of one, failures with and without an id."""
    lake = Lake(folder)
    for number, video in enumerate([BOB, "5e" * 32, ZOE, "7c" * 32]):
        record_sightings(lake, "r", [file(video), file(video, SHARED)] if number in (0, 2) else [file(video)])
        if video == ZOE:
            commit_video(lake, "r", file(video), INFO, results(video, "old", 20), 1.0)
        commit_video(lake, "r", file(video), INFO, results(video, "new", 30), 1.0)
    commit_steps(lake, "r", ZOE, results(ZOE, "new", 2, "n")[1:], 1.0)  # few rows: they stay in the catalog
    lake.transact(lambda connection: connection.execute("CALL ducklake_merge_adjacent_files('lake')").fetchall())
    record_failure(lake, "r", PATHS[ZOE], ZOE, VideoError(Reason.TIMEOUT, f"{PATHS[ZOE]}: slow", "picture"), 1)
    record_failure(lake, "r", PATHS[ZOE], None, VideoError(Reason.VANISHED, f"{PATHS[ZOE]} went", "discover"), 1)
    record_failure(lake, "r", PATHS[ZOE] + ".mp4", None, VideoError(Reason.VANISHED, "a longer name", "discover"), 1)
    record_failure(lake, "r", SHARED, None, VideoError(Reason.VANISHED, "went", "discover"), 1)
    # crops in a file of their own, which goes whole and unread: the table's statistics would still tell of them
    of_person = face_rows(ZOE, "new", 30)[1::2]
    lake.transact(lambda connection: append_rows(connection, "crops", of_person))
    for table in WITH_A_VIDEO:  # those that no function above fills, and every table to come
        if lake.query(f"SELECT count(*) FROM {table}") == [(0,)]:
            for video in (BOB, ZOE):
                row = {name: made_up(kind) for name, kind, _ in TABLES[table].columns}
                row |= {name: value for name, value in (("video_id", video), ("path", PATHS[video])) if name in row}
                lake.transact(lambda connection, table=table, row=row: append_rows(connection, table, [row]))  # type: ignore[misc]  # mypy sees no type in the defaults
    assert Leases(lake, "dead run").take(VIDEO + ZOE)
    lake.close()
    abandoned = folder / "staging" / "dead-run" / ZOE
    abandoned.mkdir(parents=True)
    (abandoned / "frames.000000.parquet").write_bytes(b"rows")


def leave_strays(folder: Path) -> None:
    """What killed writers leave beside the data files: files that the catalog does not know, some of them torn."""
    [some, *_] = [path for path in folder.rglob("*.parquet") if path.parent.name == "crops"]
    rows = pq.read_table(some)
    pq.write_table(rows.set_column(0, "video_id", [[ZOE] * rows.num_rows]), some.with_name("stray [1].parquet"))
    for table in ("crops", "frames", "runs", "trainings"):
        torn = some.parents[1] / table / "torn.parquet"
        torn.parent.mkdir(exist_ok=True)
        torn.write_bytes(some.read_bytes()[:100])
