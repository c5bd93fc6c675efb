"""What the lake remembers of training runs."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import duckdb

from moodreel.warehouse.append import append_rows
from moodreel.warehouse.lake import Lake


def start_training(lake: Lake, training_id: str, facts: Mapping[str, object]) -> None:
    """Write a training's row as running, or set the row of a resumed one back to that.

    Args:
        lake: the warehouse.
        training_id: the run's id.
        facts: recipe, config, data, data_id, init and code_version of a new run.
    """

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        known = connection.execute("SELECT 1 FROM trainings WHERE training_id = ?", [training_id]).fetchone()
        if known:
            _close(connection, training_id, "running", None, None)
        else:
            fresh = {"training_id": training_id, "started_at": datetime.now(UTC), "state": "running"}
            append_rows(connection, "trainings", [{**facts, **fresh}])

    lake.transact(work)


def record_epochs(lake: Lake, training_id: str, history: Sequence[Mapping[str, object]]) -> None:
    """Write those epochs of a run that are not there yet, in one transaction.

    Args:
        lake: the warehouse.
        training_id: the run's id.
        history: all finished epochs; a run killed after its checkpoint may have left out its last one here.
    """
    lake.transact(lambda connection: _append_missing(connection, training_id, history))


def finish_training(
    lake: Lake, training_id: str, state: str, history: Sequence[Mapping[str, object]] = (), model_id: str | None = None
) -> None:
    """Complete a training's row, and its epochs, in one transaction."""

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        _append_missing(connection, training_id, history)
        _close(connection, training_id, state, datetime.now(UTC), model_id)

    lake.transact(work)


def _append_missing(
    connection: duckdb.DuckDBPyConnection, training_id: str, history: Sequence[Mapping[str, object]]
) -> None:
    found = connection.execute("SELECT epoch FROM training_epochs WHERE training_id = ?", [training_id]).fetchall()
    present = {epoch for (epoch,) in found}
    rows = [
        {**line, "training_id": training_id, "losses": json.dumps(line["losses"])}
        for line in history
        if line["epoch"] not in present
    ]
    append_rows(connection, "training_epochs", rows)


def _close(
    connection: duckdb.DuckDBPyConnection, training_id: str, state: str, at: datetime | None, model_id: str | None
) -> None:
    connection.execute(
        "UPDATE trainings SET state = ?, finished_at = ?, model_id = ? WHERE training_id = ?",
        [state, at, model_id, training_id],
    )
