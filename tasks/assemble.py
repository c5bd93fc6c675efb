"""Units to one video: faces get their numbers and persons, rows their keys."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from moodreel.schemas.config import AnalysisConfig
from moodreel.schemas.reasons import Reason, VideoError
from moodreel.schemas.tables import TABLES
from moodreel.schemas.values import Outcome, StepKey, StepResult, UnitEnd
from moodreel.tasks.crops import LOOK_BYTES
from moodreel.tasks.persons import VideoFaces, number_persons
from moodreel.tasks.plan import VideoWork

Columns = dict[str, pa.Array]


class StagedRows(Protocol):
    """Where the units' rows are kept, in the order of the units."""

    def batches(
        self, table: str, model: str | None = None, columns: list[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield all rows of a table, in order."""
        ...


def assemble_video(
    work: VideoWork, config: AnalysisConfig, staged: StagedRows, picture: list[UnitEnd], sound: UnitEnd | None
) -> list[StepResult]:
    """Turn the staged rows of a video into its finished steps.

    A face's number is its place among all faces of the video in the order of ts_s, x0, y0. Units come in the order of
    time and faces in that order within them, so counting gives the number, whatever the segments were.

    Args:
        work: the video and which steps to give.
        config: the settings.
        staged: the rows.
        picture: how each segment went.
        sound: how the sound went, if it was analysed.
    """
    broken = next((end for end in picture if end.outcome is Outcome.BROKEN), None)
    how = broken or UnitEnd(Outcome.OK)
    ids = _FaceIds(work.file.video_id, config, staged) if picture else None
    num_windows = sum(batch.num_rows for batch in staged.batches("audio_windows", columns=["window_id"]))
    results = []
    for key in sorted(work.steps, key=lambda key: (key.step, key.model_id or "")):
        if key.step in ("audio_windows", "voice_emotions"):
            assert sound is not None
            tables = {key.step: keyed_reader(key.step, work.file.video_id, key, staged, num_windows)}
            results.append(StepResult(key, sound.outcome, sound.detail, tables))
        else:
            assert ids is not None
            names = ("frames", "faces", "crops") if key.step == "faces" else (key.step,)
            tables = {name: _reader(name, partial(ids.rows, name, key)) for name in names}
            results.append(StepResult(key, how.outcome, how.detail, tables))
    return results


class _FaceIds:
    """Keys of a video's faces; under 400 bytes a face are held, the rest streams by."""

    def __init__(self, video_id: str, config: AnalysisConfig, staged: StagedRows) -> None:
        self._video_id, self._staged = video_id, staged
        frames = _together(staged.batches("frames"), ["ts_s", "num_faces", "change", "likeness"])
        faces = _together(
            staged.batches("faces", columns=["ts_s", "x0", "y0", "x1", "y1", "detection_score"]),
            ["ts_s", "x0", "y0", "x1", "y1", "detection_score"],
        )
        looks = [look.as_py() for batch in staged.batches("faces", columns=["look"]) for look in batch["look"]]
        self._ts_s = faces["ts_s"]
        video = VideoFaces(
            ts_s=frames["ts_s"],
            change=frames["change"].astype(np.float32),
            likeness=frames["likeness"].astype(np.float32),
            frame=np.repeat(np.arange(len(frames["ts_s"])), frames["num_faces"].astype(np.int64)),
            boxes=np.stack([faces[corner] for corner in ("x0", "y0", "x1", "y1")], axis=1),
            scores=faces["detection_score"].astype(np.float32),
            looks=np.frombuffer(b"".join(looks), np.uint8).reshape(-1, LOOK_BYTES),
        )
        self._tracks = number_persons(video, config.picture.sample_fps)

    def rows(self, table: str, key: StepKey) -> Iterator[Columns]:
        """Yield a table's rows with their keys."""
        source = "faces" if table == "crops" else table
        first = 0
        for batch in self._staged.batches(source, key.model_id):
            n = batch.num_rows
            columns = {name: batch[name] for name in batch.schema.names}
            here = slice(first, first + n)
            first += n
            columns |= _keys(n, self._video_id, key)
            if table != "frames":
                columns["face_id"] = pa.array(np.arange(here.start, here.stop), pa.int64())
                columns["track_id"] = pa.array(self._tracks[here], pa.int64())
                columns["ts_s"] = pa.array(self._ts_s[here], pa.float64())
            yield columns
        if table != "frames":
            _expect(first, len(self._ts_s), table, self._video_id, key)


def keyed_reader(
    table: str, video_id: str, key: StepKey, staged: StagedRows, num_judged: int
) -> Callable[[], pa.RecordBatchReader]:
    """Return what reads a table's staged rows with the video's keys, those of windows or of faces numbered already.

    Args:
        table: its name.
        video_id: the video.
        key: the step.
        staged: the rows.
        num_judged: windows or faces of the video; each must have a row.
    """

    def rows() -> Iterator[Columns]:
        num_rows = 0
        for batch in staged.batches(table, key.model_id):
            num_rows += batch.num_rows
            yield {name: batch[name] for name in batch.schema.names} | _keys(batch.num_rows, video_id, key)
        _expect(num_rows, num_judged, table, video_id, key)

    return _reader(table, rows)


def _expect(num_rows: int, num_judged: int, table: str, video_id: str, key: StepKey) -> None:
    """Fail where rows are missing: a worker that has other weights under a model's name gives them under another id."""
    if num_rows != num_judged:
        remedy = f"do all workers have {key.model_id or 'the same version'}?"
        judged = "windows" if "window_id" in TABLES[table].schema.names else "faces"
        counts = f"{num_rows} rows of {table} for {num_judged} {judged}"
        raise VideoError(Reason.CRASH, f"{video_id}: {counts}; {remedy}", "commit")


def _keys(n: int, video_id: str, key: StepKey) -> Columns:
    values = {"video_id": video_id, "config_id": key.config_id, "model_id": key.model_id}
    return {name: pa.array([value] * n, pa.string()) for name, value in values.items()}


def _reader(table: str, rows: Callable[[], Iterator[Columns]]) -> Callable[[], pa.RecordBatchReader]:
    schema = TABLES[table].schema

    def read() -> pa.RecordBatchReader:
        batches = (pa.RecordBatch.from_arrays([each[name] for name in schema.names], schema=schema) for each in rows())
        return pa.RecordBatchReader.from_batches(schema, batches)

    return read


def _together(batches: Iterator[pa.RecordBatch], names: list[str]) -> dict[str, NDArray[np.float64]]:
    parts: dict[str, list[NDArray[np.float64]]] = {name: [] for name in names}
    for batch in batches:
        for name in names:
            parts[name].append(batch[name].to_numpy(zero_copy_only=False).astype(np.float64))
    return {name: np.concatenate(arrays) if arrays else np.zeros(0) for name, arrays in parts.items()}
