"""Hand-made rows for the lake."""

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa

from moodreel.schemas.tables import TABLES


def reader(table: str, rows: Sequence[Mapping[str, object]]) -> Callable[[], pa.RecordBatchReader]:
    """What a StepResult carries for a table."""
    return lambda: pa.Table.from_pylist(list(rows), TABLES[table].schema).to_reader()
