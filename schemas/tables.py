"""The warehouse's tables: the one declaration that the lake, the tasks and the docs derive from."""

from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from moodreel.schemas.labels import LABELS

TEXT, INT, REAL, TIME = pa.string(), pa.int64(), pa.float64(), pa.timestamp("us", tz="UTC")
_PROBABILITIES: Final = [(label, pa.float32(), f"probability of {label}") for label in LABELS]


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the lake.

    Attributes:
        name: plural noun.
        grain: what one row is.
        columns: (name, Arrow type, meaning); nullable only where `nullable` names it.
        nullable: columns in which absence is NULL.
        volatile: columns that name a run, a time of day or an attempt; equality of two warehouses leaves them out.
    """

    name: str
    grain: str
    columns: tuple[tuple[str, pa.DataType, str], ...]
    nullable: frozenset[str] = frozenset()
    volatile: frozenset[str] = frozenset()

    @property
    def schema(self) -> pa.Schema:
        """The table's Arrow schema."""
        return pa.schema([pa.field(name, kind, name in self.nullable) for name, kind, _ in self.columns])


def _table(
    name: str, grain: str, columns: list[tuple[str, pa.DataType, str]], nullable: str = "", volatile: str = ""
) -> Table:
    return Table(name, grain, tuple(columns), frozenset(nullable.split()), frozenset(volatile.split()))


_VIDEO: Final = ("video_id", TEXT, "BLAKE3 of the file's bytes, hex")
_CONFIG: Final = ("config_id", TEXT, "digest of the settings that the rows depend on")
_RUN: Final = ("run_id", TEXT, "the run that wrote the row")
_FACE: Final = ("face_id", INT, "number of the face in its video, ordered by ts_s, x0, y0")
_MODEL: Final = ("model_id", TEXT, "the model's name and a digest of its weights, temperature and input")
_TS: Final = ("ts_s", REAL, "presentation time, seconds since the video's first frame")
_TRAINING: Final = ("training_id", TEXT, "the training run; it stays the same when the run is resumed")
_TRACK: Final = ("track_id", INT, "person in this video, numbered by first appearance")

ALL_TABLES: Final = (
    _table(
        "videos",
        "one distinct content",
        [
            _VIDEO,
            ("path", TEXT, "where it was first seen"),
            ("size_bytes", INT, "bytes"),
            ("duration_s", REAL, "as the container says; NULL if it does not, or its clock starts anew inside"),
            ("fps", REAL, "average frame rate as the container says"),
            ("width", INT, "px of the upright picture"),
            ("height", INT, "px of the upright picture"),
            ("video_codec", TEXT, "FFmpeg's name"),
            ("audio_codec", TEXT, "FFmpeg's name; NULL without sound"),
            ("rotation_deg", INT, "how far the stored picture is turned: 0, 90, 180 or 270 counter-clockwise"),
            ("analysed_at", TIME, "first commit"),
        ],
        nullable="duration_s fps audio_codec",
        volatile="analysed_at",
    ),
    _table(
        "steps",
        "one committed step: the only resume record",
        [
            _VIDEO,
            ("step", TEXT, "faces, face_emotions, face_features, audio_windows or voice_emotions"),
            _CONFIG,
            ("model_id", TEXT, "NULL for a step without a model"),
            _RUN,
            ("outcome", TEXT, "ok, none, silent or broken"),
            ("detail", TEXT, "what broke, for a person"),
            ("num_rows", INT, "rows in the step's table"),
            ("seconds", REAL, "of wall time that the video took"),
            ("committed_at", TIME, "time of the commit"),
        ],
        nullable="model_id detail",
        volatile="run_id seconds committed_at",
    ),
    _table(
        "sightings",
        "a path seen in a run with content or stamp other than when last seen",
        [
            _VIDEO,
            ("path", TEXT, "absolute"),
            ("size_bytes", INT, "bytes"),
            ("mtime_ns", INT, "time of the last change"),
            ("inode", INT, "number of the file in its file system"),
            _RUN,
            ("seen_at", TIME, "time"),
        ],
        volatile="run_id seen_at",
    ),
    _table(
        "runs",
        "one flow run",
        [
            _RUN,
            ("flow", TEXT, "nightly or rerun"),
            ("started_at", TIME, "time"),
            ("finished_at", TIME, "NULL while it runs, or if it was killed"),
            ("state", TEXT, "running, completed, failed, or crashed: killed, as a later run found"),
            ("purpose", TEXT, "what the run is for, as its user said"),
            ("config", pa.json_(), "all settings"),
            ("code_version", TEXT, "of moodreel"),
            ("num_videos", INT, "candidates: analysed + skipped + failed"),
            ("num_analysed", INT, "videos with a commit in this run"),
            ("num_skipped", INT, "nothing to do, or left alone: hopeless, in quarantine, erased, still being written"),
            ("num_failed", INT, "they are in failures"),
        ],
        nullable="finished_at purpose num_videos num_analysed num_skipped num_failed",
        volatile="run_id started_at finished_at state num_videos num_analysed num_skipped num_failed",
    ),
    _table(
        "failures",
        "one failed attempt",
        [
            ("path", TEXT, "absolute"),
            ("video_id", TEXT, "NULL if its bytes could not be read"),
            _RUN,
            ("stage", TEXT, "discover, probe, picture, sound, commit or rerun"),
            ("reason", TEXT, "one of schemas/reasons.py"),
            ("message", TEXT, "one line for a person"),
            ("retryable", pa.bool_(), "whether a later night tries again with the same bytes"),
            ("attempt", INT, "1 for the first in this run"),
            ("failed_at", TIME, "time"),
        ],
        nullable="video_id",
        volatile="run_id attempt failed_at",
    ),
    _table(
        "pardons",
        "a word that what failed is to be tried again",
        [
            ("path", TEXT, "absolute"),
            ("video_id", TEXT, "NULL if its bytes could not be read"),
            ("pardoned_at", TIME, "earlier failures neither end nor count"),
        ],
        nullable="video_id",
        volatile="pardoned_at",
    ),
    _table("frames", "a sampled frame, faces or none", [_VIDEO, _CONFIG, _TS, ("num_faces", INT, "faces found")]),
    _table(
        "frame_tallies",
        "a video's sampled frames under one configuration, counted from `frames`",
        [
            _VIDEO,
            _CONFIG,
            ("num_frames", INT, "sampled frames"),
            ("seconds_with_face", REAL, "s of those with a face, each as long as it stands"),
        ],
    ),
    _table(
        "faces",
        "a face in a frame",
        [
            _VIDEO,
            _CONFIG,
            _FACE,
            _TS,
            _TRACK,
            *[(corner, REAL, "px in the upright frame") for corner in ("x0", "y0", "x1", "y1")],
            ("detection_score", pa.float32(), "MTCNN's, 0..1"),
            ("landmarks", pa.list_(pa.float32()), "x, y in px: left eye, right eye, nose, mouth left, mouth right"),
        ],
    ),
    _table("crops", "a face's picture", [_VIDEO, _CONFIG, _FACE, ("image", pa.binary(), "JPEG, square, RGB")]),
    _table(
        "face_emotions",
        "a face under one model",
        [
            _VIDEO,
            _CONFIG,
            _FACE,
            _MODEL,
            _TS,
            _TRACK,
            *_PROBABILITIES,
            ("label", TEXT, "the most probable expression"),
        ],
    ),
    _table(
        "face_tallies",
        "a person's faces of one label under one model, counted from `face_emotions`",
        [
            _VIDEO,
            _CONFIG,
            _MODEL,
            _TRACK,
            ("label", TEXT, "the most probable expression"),
            ("num_faces", INT, "faces of that label"),
            ("first_s", REAL, "presentation time of the first of them, s"),
            ("last_s", REAL, "of the last, s"),
            *[(label, REAL, f"mean probability of {label} over them") for label in LABELS],
        ],
    ),
    _table(
        "face_features",
        "a face's deep features under one model, where a run was asked for them",
        [_VIDEO, _CONFIG, _FACE, _MODEL, ("features", pa.list_(pa.float32()), "1536 for Inception-ResNet-v2")],
    ),
    _table(
        "audio_windows",
        "2 s of sound",
        [
            _VIDEO,
            _CONFIG,
            ("window_id", INT, "floor of t0_s"),
            ("t0_s", REAL, "start on the video's clock"),
            ("t1_s", REAL, "end; less than 2 s later where the sound ends"),
            ("speech_share", pa.float32(), "share of the window with speech, 0..1"),
            ("level_dbfs", pa.float32(), "RMS level; NULL for digital silence"),
            ("features", pa.list_(pa.float32()), "openSMILE IS10, 1582 functionals"),
        ],
        nullable="level_dbfs",
    ),
    _table(
        "voice_emotions",
        "a window under one model",
        [
            _VIDEO,
            _CONFIG,
            ("window_id", INT, "as in audio_windows"),
            _MODEL,
            *_PROBABILITIES,
            ("label", TEXT, "the most probable expression; NULL, like the probabilities, without enough speech"),
        ],
        nullable=" ".join((*LABELS, "label")),
    ),
    _table(
        "models",
        "a registered set of weights",
        [
            _MODEL,
            ("name", TEXT, "registry name"),
            ("version", TEXT, "of the weights"),
            ("sha256", TEXT, "of the weights' file"),
            ("task", TEXT, "face or voice"),
            ("labels", pa.list_(TEXT), "order of the network's outputs"),
            ("licence", TEXT, "of the weights"),
            ("trained_on", TEXT, "data"),
            ("metrics", pa.json_(), "measured accuracy"),
            ("reliability", pa.json_(), "by expression, how often it is right when the model says so, 0..1"),
        ],
        nullable="reliability",
    ),
    _table(
        "trainings",
        "one training run, resumed or not",
        [
            _TRAINING,
            ("recipe", TEXT, "its name"),
            ("config", pa.json_(), "all settings"),
            ("data", TEXT, "path of the labelled data, absolute"),
            ("data_id", TEXT, "BLAKE3 of the pictures and labels learnt from, hex"),
            ("init", TEXT, "weights it started from; NULL for random ones"),
            ("started_at", TIME, "time"),
            ("finished_at", TIME, "NULL while it runs, or if it was killed"),
            ("state", TEXT, "running, completed or failed"),
            ("model_id", TEXT, "what it made; NULL until it is completed"),
            ("code_version", TEXT, "of moodreel"),
        ],
        nullable="init finished_at model_id",
        volatile="training_id started_at finished_at state",
    ),
    _table(
        "training_epochs",
        "one epoch of a training run",
        [
            _TRAINING,
            ("epoch", INT, "from 0"),
            ("rate", REAL, "learning rate of its last step"),
            ("losses", pa.json_(), "means over the epoch by name; class is that of the labels"),
            ("accuracy", REAL, "on the validation examples, 0..1"),
            ("seconds", REAL, "of wall time"),
        ],
        volatile="training_id seconds",
    ),
    _table(
        "tombstones",
        "a video that was erased, whole or a person of it, and is not analysed again",
        [
            ("keyed_hash", TEXT, "BLAKE3 of the video_id under the warehouse's own key, hex"),
            ("scope", TEXT, "video or person"),
            ("erased_at", TIME, "time"),
        ],
        volatile="keyed_hash erased_at",
    ),
)
TABLES: Final = {table.name: table for table in ALL_TABLES}


def describe_tables() -> str:
    """Return all tables with their columns as Markdown: what stands in docs/tables.md."""
    lines = ["# Tables", "", "Written from `schemas/tables.py`; columns in italics may be NULL.", ""]
    for table in ALL_TABLES:
        lines += [
            f"## {table.name}",
            "",
            f"A row is {table.grain}.",
            "",
            "| column | type | meaning |",
            "| --- | --- | --- |",
        ]
        for name, kind, meaning in table.columns:
            shown = f"*{name}*" if name in table.nullable else name
            lines.append(f"| {shown} | {kind} | {meaning} |")
        lines.append("")
    return "\n".join(lines)
