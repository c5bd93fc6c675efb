import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from moodreel.tasks.learning.baselines import BASELINES, judge_with
from moodreel.tasks.learning.examples import VectorExamples

NAMES = sorted(BASELINES)
CENTRES = np.random.default_rng(0).normal(0, 1.5, (7, 12))
SCALES = 10.0 ** np.arange(-4, 8)  # as different as openSMILE's features


def problem(labels: NDArray[np.int64], seed: int) -> VectorExamples:
    """Vectors around a centre for each label, in numbers of very different size."""
    noise = np.random.default_rng(seed).normal(0, 1, (len(labels), 12))
    vectors = ((CENTRES[labels] + noise) * SCALES).astype(np.float32)
    return VectorExamples(vectors, labels, torch.eye(7)[torch.from_numpy(labels)])


def labels_of(classes: list[int], count: int) -> NDArray[np.int64]:
    return np.repeat(np.array(classes, np.int64), count)


@pytest.mark.parametrize("name", NAMES)
def test_an_easy_problem_is_learnt(name: str) -> None:
    learn, measure = problem(labels_of([*range(7)], 40), 1), problem(labels_of([*range(7)], 30), 2)
    found = judge_with(name, learn, measure)
    assert found.shape == (210, 7) and found.dtype == np.float32
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    assert found.min() >= 0
    assert (found.argmax(1) == measure.labels).mean() > 0.85  # chance is 0.14
    np.testing.assert_array_equal(found, judge_with(name, learn, measure))


@pytest.mark.parametrize("name", NAMES)
def test_a_class_that_was_not_learnt_has_no_probability(name: str) -> None:
    learn, measure = problem(labels_of([1, 3, 6], 40), 1), problem(labels_of([*range(7)], 10), 2)
    found = judge_with(name, learn, measure)
    assert (found[:, [0, 2, 4, 5]] == 0).all()
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    known = np.isin(measure.labels, [1, 3, 6])
    assert (found.argmax(1) == measure.labels)[known].mean() > 0.85


def test_a_rare_class_counts_as_much_as_a_frequent_one() -> None:
    labels = np.concatenate([labels_of([0, 2, 3, 4, 5, 6], 80), labels_of([1], 8)])
    found = judge_with("linear-svm", problem(labels, 1), problem(labels_of([1], 100), 2))
    assert (found.argmax(1) == 1).mean() > 0.9  # 0.02 where all clips count the same


@pytest.mark.parametrize("name", NAMES)
def test_two_classes_are_enough(name: str) -> None:
    learn, measure = problem(labels_of([1, 3], 40), 1), problem(labels_of([1, 3], 10), 2)
    found = judge_with(name, learn, measure)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    assert (found.argmax(1) == measure.labels).mean() > 0.85


@pytest.mark.parametrize("name", NAMES)
def test_a_single_vector_is_judged_as_in_company(name: str) -> None:
    learn, measure = problem(labels_of([*range(7)], 20), 1), problem(labels_of([*range(7)], 1), 2)
    together = judge_with(name, learn, measure)
    alone = VectorExamples(measure.vectors[:1], measure.labels[:1], torch.eye(7)[:1])
    np.testing.assert_allclose(judge_with(name, learn, alone), together[:1], atol=1e-5)
