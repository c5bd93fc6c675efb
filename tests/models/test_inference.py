from pathlib import Path

import numpy as np
import pytest

from moodreel.models.inference import BATCH, classify, load_classifier
from moodreel.models.registry import DEFAULTS, read_manifest
from moodreel.tasks.learning.evaluate import classify_faces, score
from moodreel.tasks.learning.labelled import read_labelled_faces

NAME = str(DEFAULTS["face"])


def test_probabilities_do_not_depend_on_the_neighbours() -> None:
    manifest = read_manifest(NAME)
    run = load_classifier(manifest)
    side = manifest.input.side_px
    images = np.random.default_rng(1).normal(size=(BATCH + 3, 3, side, side)).astype(np.float32)
    together = classify(run, manifest, images)
    alone = np.concatenate([classify(run, manifest, image[None]) for image in images])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_allclose(together.sum(1), 1, atol=1e-5)
    assert classify(run, manifest, images[:0]).shape == (0, 7)


@pytest.mark.needs_shared
@pytest.mark.timeout(600)
def test_openvino_agrees_with_torch_and_the_manifest_tells_the_truth(fer2013: Path) -> None:
    faces = read_labelled_faces(fer2013, "public_test")
    fast = classify_faces(NAME, faces, backend="openvino")
    reference = classify_faces(NAME, faces, backend="torch")
    assert (fast.argmax(1) == reference.argmax(1)).mean() >= 0.99
    fast_scores, reference_scores = (score(NAME, faces, p, 0.0) for p in (fast, reference))
    assert abs(fast_scores.accuracy - reference_scores.accuracy) <= 0.002
    metrics = read_manifest(NAME).metrics
    assert fast_scores.accuracy >= 0.60
    assert fast_scores.accuracy == pytest.approx(metrics["public_test_accuracy"], abs=0.002)
    assert fast_scores.accuracy_leak_free == pytest.approx(metrics["public_test_accuracy_leak_free"], abs=0.002)
    assert fast_scores.uar == pytest.approx(metrics["public_test_uar"], abs=0.005)
