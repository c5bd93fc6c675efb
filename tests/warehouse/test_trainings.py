from pathlib import Path

import pytest

from moodreel.warehouse.lake import Lake
from moodreel.warehouse.trainings import finish_training, record_epochs, start_training

FACTS = {"recipe": "r", "config": '{"seed": 0}', "data": "/d", "data_id": "x", "init": None, "code_version": "1"}
HISTORY = [
    {"epoch": epoch, "rate": 0.1, "losses": {"class": 2.0 - epoch}, "accuracy": 0.5, "seconds": 1.0}
    for epoch in range(3)
]


def states(lake: Lake) -> list[tuple[object, ...]]:
    return lake.query("SELECT training_id, state, finished_at IS NULL, model_id FROM trainings")


def test_a_training_is_one_row_however_often_it_is_resumed(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    start_training(lake, "t", FACTS)
    assert states(lake) == [("t", "running", True, None)]
    finish_training(lake, "t", "failed")
    assert states(lake) == [("t", "failed", False, None)]
    start_training(lake, "t", {**FACTS, "data": "/elsewhere"})
    assert states(lake) == [("t", "running", True, None)]
    finish_training(lake, "t", "completed", HISTORY, "m-1")
    assert states(lake) == [("t", "completed", False, "m-1")]
    assert lake.query("SELECT recipe, data, data_id, init, config->>'seed' FROM trainings") == [
        ("r", "/d", "x", None, "0")
    ]
    lake.close()


def test_epochs_are_written_once_and_those_left_out_later(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    record_epochs(lake, "t", HISTORY[:1])
    record_epochs(lake, "t", HISTORY[:1])
    record_epochs(lake, "other", HISTORY[:1])
    record_epochs(lake, "t", HISTORY)  # the second was left out by a kill
    found = lake.query(
        "SELECT epoch, (losses->>'class')::DOUBLE FROM training_epochs WHERE training_id = 't' ORDER BY 1"
    )
    assert found == [(0, 2.0), (1, 1.0), (2, 0.0)]
    lake.close()


def test_an_epoch_is_one_transaction(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    count = "SELECT count(*) FROM ducklake_snapshots('lake')"
    [(before,)] = lake.query(count)
    record_epochs(lake, "t", HISTORY)
    assert lake.query(count) == [(before + 1,)]  # type: ignore[operator]  # DuckDB's rows are untyped
    record_epochs(lake, "t", HISTORY)
    assert lake.query(count) == [(before + 1,)]  # type: ignore[operator]  # DuckDB's rows are untyped
    with pytest.raises(KeyError):
        finish_training(lake, "t", "completed", [{"epoch": 9}], None)
    assert lake.query("SELECT count(*) FROM training_epochs") == [(3,)]
    lake.close()
