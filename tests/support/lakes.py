"""Compare two warehouses in the contract's sense."""

from datetime import timedelta
from pathlib import Path

import numpy as np

from moodreel.schemas.tables import ALL_TABLES
from moodreel.warehouse.lake import Lake, open_reader
from moodreel.warehouse.upkeep import expire_snapshots, flush_inlined, merge_files, remove_files, shrink_catalog


def all_rows(warehouse: Path) -> dict[str, list[dict[str, object]]]:
    """Every table's rows without the columns that name a run, a time of day or an attempt, in a fixed order.

    Of failures those that no later night tries again: the others are attempts.
    """
    connection = open_reader(warehouse)
    found = {}
    for table in ALL_TABLES:
        kept = [name for name, _, _ in table.columns if name not in table.volatile]
        distinct = "DISTINCT" if table.name in ("runs", "sightings") else ""
        final = "WHERE NOT retryable" if table.name == "failures" else ""
        sql = f"SELECT {distinct} {', '.join(kept)} FROM {table.name} {final} ORDER BY ALL"
        found[table.name] = connection.execute(sql).to_arrow_table().to_pylist()
    connection.close()
    return found


def assert_equal(one: Path, other: Path) -> None:
    """Fail at the first difference; probabilities and other reals may differ by 1e-5."""
    left, right = all_rows(one), all_rows(other)
    for table, rows in left.items():
        if table == "runs":  # its config names the warehouse
            continue
        assert len(rows) == len(right[table]), f"{table}: {len(rows)} rows against {len(right[table])}"
        for a, b in zip(rows, right[table], strict=True):
            assert a.keys() == b.keys()
            for name in a:
                if _is_real(a[name]):
                    np.testing.assert_allclose(a[name], b[name], rtol=0, atol=1e-5, err_msg=f"{table}.{name}")
                else:
                    assert a[name] == b[name], f"{table}.{name}: {a[name]!r} against {b[name]!r}"


def _is_real(value: object) -> bool:
    return isinstance(value, float) or (isinstance(value, list) and bool(value) and isinstance(value[0], float))


def keep_up(lake: Lake) -> None:
    """Do all of upkeep at once, with no regard to the age of anything."""
    now = timedelta(0)
    flush_inlined(lake)
    expire_snapshots(lake, now)
    merge_files(lake)
    expire_snapshots(lake, now)
    remove_files(lake, now)
    shrink_catalog(lake)
