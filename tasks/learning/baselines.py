"""What any network for voices has to beat: classic classifiers on the same features, as they are, of the same folds."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from moodreel.schemas.labels import NUM_LABELS
from moodreel.tasks.learning.examples import VectorExamples

_SEED = 0


def linear_svm() -> ClassifierMixin:
    """A linear support vector machine; C as is usual for openSMILE's large sets."""
    return LinearSVC(C=1e-3, class_weight="balanced", random_state=_SEED)


def rbf_svm() -> ClassifierMixin:
    """A support vector machine with radial basis functions, C = 3 as in the figure to beat."""
    return SVC(C=3.0, class_weight="balanced", random_state=_SEED)


def mlp() -> ClassifierMixin:
    """A perceptron with one hidden layer that stops early."""
    return MLPClassifier((256,), alpha=1e-2, early_stopping=True, max_iter=100, random_state=_SEED)


BASELINES: Final[dict[str, Callable[[], ClassifierMixin]]] = {
    "linear-svm": linear_svm,
    "rbf-svm": rbf_svm,
    "mlp": mlp,
}


def judge_with(name: str, learn: VectorExamples, measure: VectorExamples) -> NDArray[np.float32]:
    """Fit a baseline to vectors and return (m, 7) probabilities of others; a class that was not learnt has 0.

    A machine without probabilities gives the softmax of its decision function.
    """
    pipeline: Pipeline = make_pipeline(StandardScaler(), BASELINES[name]())
    pipeline.fit(learn.vectors, learn.labels)
    if hasattr(pipeline, "predict_proba"):
        values = pipeline.predict_proba(measure.vectors)
    else:
        decision = pipeline.decision_function(measure.vectors)
        if decision.ndim == 1:  # of two classes only the second one's margin is given
            decision = np.stack([-decision, decision], axis=1) / 2
        powers = np.exp(decision - decision.max(axis=1, keepdims=True))
        values = powers / powers.sum(axis=1, keepdims=True)
    probabilities = np.zeros((len(values), NUM_LABELS), np.float32)
    probabilities[:, pipeline.classes_] = values
    return probabilities
