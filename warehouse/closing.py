"""What a run brought, video by video, at a cost that hardly grows with the archive."""

import re
from typing import Final

from moodreel.schemas.tables import ALL_TABLES
from moodreel.warehouse.connect import NAME
from moodreel.warehouse.lake import Lake
from moodreel.warehouse.migrate import sql_files

_VIEWS: Final = ("video_emotions", "video_voice", "video_verdict")


def closing_rows(
    lake: Lake, run_id: str, face_model_id: str, voice_model_id: str | None
) -> list[tuple[str, int, str | None, float | None, str | None, str | None, float]]:
    """Return a row for each video that a run analysed, by path.

    Args:
        lake: the warehouse.
        run_id: the run.
        face_model_id: whose verdict of faces.
        voice_model_id: whose verdict of voices; None where no voices were wanted.

    Returns:
        Path, people, dominant emotion, its share of the faces, emotion of the voice or what became of the sound,
        verdict of both, seconds of work.
    """
    rows = lake.query(
        f"WITH mine AS (SELECT video_id, max(seconds) AS seconds FROM {NAME}.steps WHERE run_id = ? GROUP BY video_id),"
        f" {_views_of('SELECT video_id FROM mine')}"
        " SELECT faces.path, num_people, faces.dominant_emotion, faces.dominant_share,"
        " coalesce(voices.dominant_emotion, if(sound = 'ok', 'no speech', sound)), verdicts.emotion, mine.seconds"
        " FROM mine JOIN video_emotions AS faces ON faces.video_id = mine.video_id AND faces.model_id = ?"
        " LEFT JOIN video_voice AS voices ON voices.video_id = mine.video_id AND voices.model_id = ?"
        " LEFT JOIN video_verdict AS verdicts ON verdicts.video_id = mine.video_id AND from_s IS NULL"
        " AND face_model_id = faces.model_id AND voice_model_id IS NOT DISTINCT FROM voices.model_id"
        " ORDER BY faces.path",
        [run_id, face_model_id, voice_model_id],
    )
    return rows  # type: ignore[return-value]  # DuckDB's rows are untyped


def _views_of(videos: str) -> str:
    """Return the views as they are of some videos alone, to follow WITH.

    A condition on a view's video_id reaches few of the tables inside, so that the view would be worked out for the
    whole archive; here each table is cut down first, under its own name.
    """
    files = sql_files("views")
    views = {name: files[f"{name}.sql"] for name in _VIEWS}
    words = set(re.findall(r"\w+", " ".join(views.values())))
    tables = [table.name for table in ALL_TABLES if table.name in words and "video_id" in table.schema.names]
    cut = [f"{name} AS (SELECT * FROM {NAME}.{name} WHERE video_id IN ({videos}))" for name in tables]
    return ", ".join([*cut, *(f"{name} AS ({sql})" for name, sql in views.items())])
