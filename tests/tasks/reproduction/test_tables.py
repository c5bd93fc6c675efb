import json
from collections.abc import Mapping

import numpy as np
import pytest

from moodreel.tasks.learning import metrics
from moodreel.tasks.learning.labelled import LabelledFaces
from moodreel.tasks.learning.train import EpochMetrics
from moodreel.tasks.reproduction.budget import comparison_config
from moodreel.tasks.reproduction.claims import METHODS, OURS, PLANS, SIZES
from moodreel.tasks.reproduction.measures import Denoised, Measured
from moodreel.tasks.reproduction.statistics import NUM_DRAWS, Estimate
from moodreel.tasks.reproduction.tables import (
    NO_PICTURE,
    Cell,
    PaperTable,
    build_contests,
    build_tables,
    describe_networks,
    summarise_denoising,
)
from moodreel.tasks.reproduction.text import as_markdown, as_text, contests_as_text, networks_as_text


def faces(n: int) -> LabelledFaces:
    labels = np.arange(n) % 7
    nobody = np.zeros((n, 7), np.float32)
    return LabelledFaces([b""] * n, labels, nobody, np.zeros(n, bool), np.arange(n) < n // 10, {})


def measured(n: int, accuracies: Mapping[str, float]) -> dict[str, Measured]:
    """Methods that are right on the first faces of as many as told."""
    found = {}
    for name, accuracy in accuracies.items():
        labels = faces(n).labels
        guesses = np.where(np.arange(n) < accuracy * n, labels, (labels + 1) % 7)
        probabilities = np.full((n, 7), 0.05, np.float32)
        probabilities[np.arange(n), guesses] = 0.7
        rng = np.random.default_rng(1)
        levels = [Denoised(s, rng.normal(20, 1, n), rng.normal(25, 1, n)) for s in (0.1, 0.2)] if name == OURS else []
        history = [EpochMetrics(i, 0.1, {"class": 1.0}, value, 2.0) for i, value in enumerate((0.3, 0.5, 0.4))]
        seconds = {size: [size / 100] * NUM_DRAWS for size in SIZES if size <= n}
        found[name] = Measured(comparison_config(name, 3), history, 10, probabilities, seconds, levels)
    return found


ACCURACIES = dict(zip(METHODS, (0.3, 0.4, 0.5, 0.6, 0.7, 0.8), strict=True))


@pytest.mark.parametrize("n", [700, 120])
def test_every_cell_is_filled_or_says_why_not(n: int) -> None:
    tables = {table.plan.figure: table for table in build_tables(measured(n, ACCURACIES), faces(n))}
    assert set(tables) == {"precision", "recall", "psnr", "accuracy", "seconds", "rmse"}
    for figure, table in tables.items():
        for name in METHODS:
            for size, cell in zip(table.plan.sizes, table.cells[name], strict=True):
                if figure == "psnr" and name != OURS:
                    assert cell.reason == NO_PICTURE
                elif size > n:
                    assert cell.reason is not None and f"{n} faces" in cell.reason and f"{size} can't" in cell.reason
                else:
                    assert cell.estimate is not None and np.isfinite([cell.estimate.mean, cell.estimate.margin]).all()
        text = as_text(table)
        assert ("n/a" in as_markdown([text])) == any(cell.reason for cells in table.cells.values() for cell in cells)
        for reason in (cell.reason for cells in table.cells.values() for cell in cells if cell.reason):
            assert reason in text.notes


def test_a_draw_of_all_faces_gives_their_figures() -> None:
    n = 300
    found = measured(n, ACCURACIES)
    tables = {table.plan.figure: table for table in build_tables(found, faces(n))}

    def at_300(figure: str, name: str) -> Estimate:
        estimate = tables[figure].cells[name][tables[figure].plan.sizes.index(300)].estimate
        assert estimate is not None
        return estimate

    for name, accuracy in ACCURACIES.items():
        assert at_300("accuracy", name) == Estimate(pytest.approx(100 * accuracy), pytest.approx(0, abs=1e-9))
        rmse = metrics.root_mean_square_error(found[name].probabilities, faces(n).labels)
        assert at_300("rmse", name).mean == pytest.approx(100 * rmse)
        counts = metrics.confusion_counts(found[name].probabilities, faces(n).labels)
        assert at_300("recall", name).mean == pytest.approx(100 * metrics.mean_recall(counts))
        precisions = [row["precision"] for row in metrics.class_figures(counts).values()]
        assert at_300("precision", name).mean == pytest.approx(100 * np.mean(np.array(precisions, float)))
        assert at_300("seconds", name).mean == pytest.approx(3.0)
    levels = np.mean([level.denoised_db for level in found[OURS].denoised], axis=0)
    assert at_300("psnr", OURS).mean == pytest.approx(levels.mean())


def test_a_face_that_is_met_exactly_has_no_part_in_the_psnr() -> None:
    n = 110
    found = measured(n, ACCURACIES)
    for level in found[OURS].denoised:
        level.denoised_db[:10] = np.inf
    [psnr] = [table for table in build_tables(found, faces(n)) if table.plan.figure == "psnr"]
    first = psnr.cells[OURS][0].estimate
    assert first is not None
    rest = np.mean([level.denoised_db[10:] for level in found[OURS].denoised])
    assert (first.mean, first.margin) == (pytest.approx(rest), pytest.approx(0, abs=1e-9))
    assert summarise_denoising(found)[0]["denoised_db"] == pytest.approx(
        found[OURS].denoised[0].denoised_db[10:].mean()
    )


def test_claims_stand_right_of_our_figure_and_nowhere_else() -> None:
    tables = {table.plan.figure: table for table in build_tables(measured(700, ACCURACIES), faces(700))}
    text = as_text(tables["accuracy"])
    assert text.head == ("method", *[f"N = {size}" for size in SIZES], "paper, N = 300")
    assert [row[-1] for row in text.rows] == ["74.91", "76.91", "79.6", "84.2", "91.11", "97.23"]
    assert as_text(tables["psnr"]).head[3:5] == ("N = 300", "paper, N = 300")
    assert [row[4] for row in as_text(tables["psnr"]).rows] == [""] * 5 + ["83.465"]
    assert sum(len(plan.claims) for plan in PLANS) == 11


def test_contests_count_the_faces_on_which_two_differ() -> None:
    contests = build_contests(measured(700, ACCURACIES), faces(700))
    assert [contest.method for contest in contests] == [name for name in METHODS if name != OURS]
    first = contests[0]  # 30 % against 80 %, the former's hits all among the latter's
    assert (first.accuracy, first.accuracy_ours) == (pytest.approx(0.3), pytest.approx(0.8))
    assert (first.only_ours, first.only_theirs) == (350, 0)
    assert first.p == pytest.approx(2.0**-349) and first.p_corrected == pytest.approx(5 * 2.0**-349)
    rows = contests_as_text(contests, 700).rows
    assert rows[0][:5] == ("CNN", "30.00", "80.00", "350", "0")


def test_networks_tell_their_best_epoch_and_leave_copies_out() -> None:
    networks = describe_networks(measured(700, ACCURACIES), faces(700))
    assert [(network.best_epoch, network.held_out_accuracy) for network in networks] == [(2, 0.5)] * 6
    assert networks[0].accuracy == pytest.approx(0.3)
    assert networks[0].accuracy_leak_free == pytest.approx((0.3 - 0.1) / 0.9)
    assert networks_as_text(networks, 700).rows[0][-2:] == ("30.00", "22.22")


def test_a_table_as_numbers_is_json() -> None:
    table = build_tables(measured(120, ACCURACIES), faces(120))[3]
    told = json.loads(json.dumps(table.as_dict(), allow_nan=False))
    assert told["cells"]["cnn"][5]["claim"] == 74.91 and told["cells"]["cnn"][5]["estimate"] is None
    assert told["cells"]["cnn"][0]["n"] == 50 and told["cells"]["cnn"][0]["estimate"]["mean"] > 0


def test_a_cell_is_never_both_empty_and_silent() -> None:
    with pytest.raises(ValueError, match="either an estimate or the reason"):
        Cell(None, None, 1.0)
    with pytest.raises(ValueError, match="either an estimate or the reason"):
        Cell(Estimate(1.0, 0.1), NO_PICTURE, 1.0)
    assert PaperTable(PLANS[0], {}).as_dict()["cells"] == {}
