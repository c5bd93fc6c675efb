"""What the views sum up, counted when the rows are written: a view over millions of faces answers at once.

Each tally is counted from the rows of another table, in the transaction that writes them, and never changed by itself.
"""

from typing import Final

import duckdb

from moodreel.schemas.labels import LABELS
from moodreel.schemas.tables import TABLES

_MEANS: Final = ", ".join(f"avg({label}) AS {label}" for label in LABELS)
_OF_FACES: Final = f"""
SELECT video_id, config_id, model_id, track_id, label, count(*) AS num_faces,
       min(ts_s) AS first_s, max(ts_s) AS last_s, {_MEANS}
FROM {{rows}}
GROUP BY ALL
"""
# a frame stands until the next one; the last as long as the one before it
_OF_FRAMES: Final = """
SELECT video_id, config_id, count(*) AS num_frames,
       coalesce(sum(stands_s) FILTER (num_faces > 0), 0) AS seconds_with_face
FROM (
    SELECT video_id, config_id, num_faces,
           coalesce(lead(ts_s) OVER clock - ts_s, ts_s - lag(ts_s) OVER clock, 0) AS stands_s
    FROM {rows}
    WINDOW clock AS (PARTITION BY video_id, config_id ORDER BY ts_s)
)
GROUP BY ALL
"""
_TALLIES: Final = {"face_emotions": ("face_tallies", _OF_FACES), "frames": ("frame_tallies", _OF_FRAMES)}
TALLY_OF: Final = {table: tally for table, (tally, _) in _TALLIES.items()}


def count_rows(connection: duckdb.DuckDBPyConnection, table: str, rows: str) -> None:
    """Add to a table's tally what new rows count.

    Args:
        connection: in the transaction that writes the rows.
        table: one of TALLY_OF.
        rows: a relation in SQL with whole videos or whole steps of `table`.
    """
    tally, select = _TALLIES[table]
    names = ", ".join(name for name, _, _ in TABLES[tally].columns)
    connection.execute(f"INSERT INTO {tally} ({names}) SELECT {names} FROM ({select.format(rows=rows)})")
