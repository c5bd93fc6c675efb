import numpy as np
import pytest
from pictures import guesses

from moodreel.schemas.labels import LABELS
from moodreel.tasks.learning import metrics

TRUTH = np.array([0, 0, 0, 1, 3])
GUESSES = [0, 0, 1, 1, 6]


def test_classes_that_do_not_occur_have_no_figures_and_count_in_no_mean() -> None:
    counts = metrics.confusion_counts(guesses(GUESSES), TRUTH)
    figures = metrics.class_figures(counts)
    assert figures["angry"] == pytest.approx({"precision": 1.0, "recall": 2 / 3, "f1": 0.8, "n": 3})
    assert figures["disgust"] == pytest.approx({"precision": 0.5, "recall": 1.0, "f1": 2 / 3, "n": 1})
    assert figures["happy"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "n": 1}  # occurs, is never guessed
    assert figures["neutral"] == {"precision": None, "recall": None, "f1": None, "n": 0}  # guessed, does not occur
    assert metrics.accuracy(counts) == pytest.approx(3 / 5)
    assert metrics.mean_recall(counts) == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert metrics.macro_f1(counts) == pytest.approx((0.8 + 2 / 3 + 0) / 3)


def test_confusion_has_a_row_for_each_label_and_a_column_for_each_guess() -> None:
    counts = metrics.confusion_counts(guesses(GUESSES), TRUTH)
    assert counts[0].tolist() == [2, 1, 0, 0, 0, 0, 0] and counts[3, 6] == 1 and counts.sum() == 5
    shares = metrics.confusion_shares(counts)
    assert shares[0][:2] == pytest.approx([2 / 3, 1 / 3])
    assert shares[6] == [None] * len(LABELS)


def test_auc_is_how_often_a_face_of_the_class_is_ranked_above_another() -> None:
    probabilities = guesses([0, 0, 0, 0])
    probabilities[:, 0], probabilities[:, 1] = [0.9, 0.4, 0.6, 0.2], [0.1, 0.6, 0.4, 0.8]
    assert metrics.macro_auc(probabilities, np.array([0, 0, 1, 1])) == pytest.approx(3 / 4)
    assert metrics.macro_auc(probabilities, np.zeros(4, np.int64)) is None


def test_rmse_is_over_all_seven_probabilities() -> None:
    squares = 0.3**2 + 6 * 0.05**2
    assert metrics.root_mean_square_error(guesses([2, 4]), np.array([2, 4])) == pytest.approx(np.sqrt(squares / 7))


def test_calibration_error_weighs_each_bin_by_its_faces() -> None:
    probabilities = np.concatenate([guesses([0, 0, 0], 0.9), guesses([1], 0.5)])
    error = metrics.calibration_error(probabilities, np.array([0, 0, 5, 1]))
    assert error == pytest.approx(3 / 4 * abs(2 / 3 - 0.9) + 1 / 4 * abs(1 - 0.5), abs=1e-6)


def test_reliability_has_fifteen_even_bins_and_certainty_lies_in_the_last() -> None:
    probabilities = np.concatenate([guesses([0], 1.0), guesses([0], 0.95), guesses([0], 0.19)])
    low, high = metrics.reliability(probabilities, np.array([0, 1, 0]))
    assert (low.low, low.high, low.n) == (pytest.approx(2 / 15), pytest.approx(3 / 15), 1)
    assert (high.low, high.high, high.n) == (pytest.approx(14 / 15), 1.0, 2)
    assert (high.confidence, high.accuracy) == (pytest.approx(0.975), 0.5)


def test_a_perfect_ranking_has_full_precision_at_every_recall() -> None:
    [angry, sad] = metrics.precision_recall_curves(guesses([0, 0, 4, 4]), np.array([0, 0, 4, 4]))
    assert (angry.label, sad.label) == ("angry", "sad")
    assert angry.average_precision == 1.0 and angry.share == 0.5
    assert angry.recall[0] == 0.0 and angry.recall[-1] == 1.0 and set(angry.precision[:-1]) == {1.0}
