"""What an erasure removes: found before the first row goes, and kept in a file until all is proven to be gone."""

import json
import os
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from moodreel.schemas.tables import ALL_TABLES
from moodreel.warehouse.connect import quoted
from moodreel.warehouse.lake import Lake, WarehouseError

INTENT: Final = "erasing.json"
_OF_TRAININGS: Final = frozenset({"trainings", "training_epochs"})  # which know no videos and need no lease
_MARKS: Final = 100  # crops of a person that are searched for in the catalog
_MARK_BYTES: Final = 32  # from a crop's middle: the beginning is that of every JPEG


@dataclass(frozen=True, slots=True)
class Target:
    """A video, or a person in one.

    Attributes:
        named: the user's words.
        video_id: the video.
        track_id: the person's number in the newest analysis; None for the whole video.
        paths: files that held this video and, as far as was seen, no other one.
        longer_paths: kept paths, and folders of runs, in which one of these occurs.
        old_configs: of a person, earlier analyses of the picture: nobody knows who is who there, so they go whole.
        face_ids: of a person, their faces in the newest analysis.
        marks: of a person, bytes of their crops, hex.
    """

    named: str
    video_id: str
    track_id: int | None = None
    paths: tuple[str, ...] = ()
    longer_paths: tuple[str, ...] = ()
    old_configs: tuple[str, ...] = ()
    face_ids: tuple[int, ...] = ()
    marks: tuple[str, ...] = ()

    @property
    def scope(self) -> str:
        """What is erased: video or person."""
        return "video" if self.track_id is None else "person"

    def condition(self, columns: Collection[str]) -> str | None:
        """Return the SQL condition of the target's rows in a table with these columns, or None if it has none there."""
        video = f"video_id = {literal(self.video_id)}"
        if self.track_id is None:
            tests = [video] if "video_id" in columns else []
            if "path" in columns and self.paths:
                tests.append(f"path IN ({', '.join(map(literal, self.paths))})")
            return " OR ".join(tests) or None
        if not {"video_id", "config_id"} <= set(columns):
            return None
        tests = [f"config_id IN ({', '.join(map(literal, self.old_configs))})"] if self.old_configs else []
        if "track_id" in columns:
            tests.append(f"track_id = {self.track_id}")
        elif "face_id" in columns:
            tests.append(f"face_id IN ({', '.join(map(str, self.face_ids))})")
        return f"{video} AND ({' OR '.join(tests)})" if tests else None


def conditions(target: Target) -> dict[str, str]:
    """Return the target's condition in every declared table that can have rows of it."""
    found = {table.name: target.condition([name for name, _, _ in table.columns]) for table in ALL_TABLES}
    return {name: condition for name, condition in found.items() if condition}


def tables_naming(target: Target) -> set[str]:
    """Return the declared tables whose files may tell of a target: a video's path may stand in any text of a run."""
    if target.track_id is not None:
        return set(conditions(target))
    return {table.name for table in ALL_TABLES} - _OF_TRAININGS


def literal(text: str) -> str:
    """Return a text as SQL."""
    return f"'{quoted(text)}'"


def find_target(lake: Lake, named: str) -> Target:
    """Find what is meant by a video_id, a path that was seen, or VIDEO_ID:TRACK_ID.

    Raises:
        WarehouseError: nothing or more than one video is known by that name.
    """
    if _has_video(lake, named):
        return _video(lake, named, named)
    path = str(Path(named).parent.resolve() / Path(named).name)
    ids = sorted({video_id for seen, video_id in _seen(lake) if seen == path and video_id})
    if len(ids) > 1:
        raise WarehouseError(f"{named} held several videos: name one of them by its id: {', '.join(ids)}")
    if ids:
        return _video(lake, named, ids[0])
    video_id, _, track = named.rpartition(":")
    if track.isdecimal() and _has_video(lake, video_id):
        return _person(lake, named, video_id, int(track))
    raise WarehouseError(
        f"nothing is known of {named}: name a video_id or a path of the table sightings, or VIDEO_ID:TRACK_ID"
    )


def write_intent(folder: Path, target: Target) -> None:
    """Keep a target until `remove_intent`, so that an erasure cut short can be finished."""
    temporary = folder / f"{INTENT}.tmp"
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(asdict(target), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, folder / INTENT)


def read_intent(folder: Path) -> Target | None:
    """Return the target of an erasure that was cut short."""
    try:
        kept: dict[str, Any] = json.loads((folder / INTENT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in kept.items()}
    return Target(**values)


def remove_intent(folder: Path) -> None:
    """Forget the target: it is erased."""
    (folder / f"{INTENT}.tmp").unlink(missing_ok=True)
    (folder / INTENT).unlink(missing_ok=True)


def _video(lake: Lake, named: str, video_id: str) -> Target:
    seen = _seen(lake)
    others = {path for path, other in seen if other not in (video_id, None)}
    paths = {path for path, other in seen if other == video_id} - others
    folders = lake.query("SELECT config->>'folder', config->>'warehouse' FROM runs")
    kept = {path for path, _ in seen} | {str(folder) for pair in folders for folder in pair if folder}
    kept -= paths
    longer = {path for path in kept if any(gone in path for gone in paths)}
    return Target(named, video_id, paths=tuple(sorted(paths)), longer_paths=tuple(sorted(longer)))


def _person(lake: Lake, named: str, video_id: str, track_id: int) -> Target:
    configs = lake.query(
        "SELECT config_id FROM steps WHERE step = 'faces' AND video_id = ? ORDER BY committed_at DESC", [video_id]
    )
    newest, *old = [str(config_id) for (config_id,) in configs] or [""]
    shown = lake.query(
        "SELECT arg_max(config_id, committed_at) FROM steps WHERE step = 'face_emotions' AND video_id = ?"
        " GROUP BY model_id",
        [video_id],
    )
    if any(config_id != newest for (config_id,) in shown):
        raise WarehouseError(
            f"models saw {video_id} under different settings, which number its people differently: `moodreel rerun` the"
            " models that lack the newest analysis, look at person_emotions again, or erase the whole video"
        )
    rows = lake.query(
        "SELECT face_id FROM faces WHERE video_id = ? AND config_id = ? AND track_id = ? ORDER BY face_id",
        [video_id, newest, track_id],
    )
    if not rows:
        raise WarehouseError(f"no person {track_id} in the newest analysis of {video_id}: see the view person_emotions")
    face_ids = [int(str(face_id)) for (face_id,) in rows]
    crops = lake.query(
        "SELECT image FROM crops WHERE video_id = ? AND config_id = ? AND face_id IN ? ORDER BY face_id LIMIT ?",
        [video_id, newest, face_ids, _MARKS],
    )
    return Target(
        named,
        video_id,
        track_id,
        old_configs=tuple(old),
        face_ids=tuple(face_ids),
        marks=tuple(_mark(image) for (image,) in crops if isinstance(image, bytes) and len(image) > 2 * _MARK_BYTES),
    )


def _mark(image: bytes) -> str:
    return image[len(image) // 2 :][:_MARK_BYTES].hex()


def _has_video(lake: Lake, video_id: str) -> bool:
    return any(
        lake.query(f"SELECT 1 FROM {name} WHERE video_id = ? LIMIT 1", [video_id]) for name in _having("video_id")
    )


def _seen(lake: Lake) -> list[tuple[str, str | None]]:
    """Return every path with the content that it held; None where that is not known."""
    union = " UNION ".join(f"SELECT path, video_id FROM {name}" for name in _having("path", "video_id"))
    return [(str(path), str(video_id) if video_id is not None else None) for path, video_id in lake.query(union)]


def _having(*columns: str) -> list[str]:
    """Return the names of the declared tables with these columns."""
    return [table.name for table in ALL_TABLES if set(columns) <= {name for name, _, _ in table.columns}]
