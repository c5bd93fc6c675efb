from pathlib import Path

import numpy as np
import pytest

from moodreel.models.inference import BATCH, classify, input_shape, load_classifier
from moodreel.models.registry import DEFAULTS, REGISTERED, read_manifest
from moodreel.tasks.learning.evaluate import classify_faces, score
from moodreel.tasks.learning.labelled import labelled_by_votes, read_labelled_faces

FACES = [name for name in REGISTERED if read_manifest(name).task == "face"]


@pytest.mark.parametrize("name", FACES)
def test_what_is_said_of_a_face_does_not_depend_on_its_neighbours(name: str) -> None:
    manifest = read_manifest(name)
    run = load_classifier(manifest)
    images = np.random.default_rng(1).normal(size=(BATCH + 3, *input_shape(manifest))).astype(np.float32)
    together = classify(run, manifest, images)
    alone = [classify(run, manifest, image[None]) for image in images]
    np.testing.assert_array_equal(together.probabilities, np.concatenate([each.probabilities for each in alone]))
    np.testing.assert_array_equal(together.features, np.concatenate([each.features for each in alone]))
    np.testing.assert_allclose(together.probabilities.sum(1), 1, atol=1e-5)
    nothing = classify(run, manifest, images[:0])
    assert (nothing.probabilities.shape, nothing.features.shape) == ((0, 7), (0, manifest.num_features or 0))


@pytest.mark.needs_shared
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("name", "step"),  # torch, in float32, takes its time: quick tests give it every eighth face
    [("small-vgg", 8), *(pytest.param(name, 1, marks=pytest.mark.slow) for name in FACES)],
)
def test_openvino_agrees_with_torch_and_the_manifest_tells_the_truth(name: str, step: int, fer2013: Path) -> None:
    manifest, faces = read_manifest(name), read_labelled_faces(fer2013, "public_test")
    judged = "public_test"
    if f"{judged}_accuracy" not in manifest.metrics:
        judged, faces = "public_test_by_votes", labelled_by_votes(faces)
    fast = classify_faces(name, faces, backend="openvino")
    some = np.arange(0, len(faces.images), step)
    reference = classify_faces(name, faces.pick(some), backend="torch")
    assert (fast[some].argmax(1) == reference.argmax(1)).mean() >= 0.99
    fast_scores = score(name, faces, fast, 0.0, temperature=manifest.temperature)
    if step == 1:  # of a few faces one is too large a share
        assert abs(fast_scores.accuracy - score(name, faces, reference, 0.0).accuracy) <= 0.002
    assert fast_scores.accuracy >= 0.60 or name not in DEFAULTS["face"]
    assert fast_scores.accuracy == pytest.approx(manifest.metrics[f"{judged}_accuracy"], abs=0.002)
    leak_free = manifest.metrics[f"{judged}_accuracy_leak_free"]
    assert fast_scores.accuracy_leak_free == pytest.approx(leak_free, abs=0.002)
    for figure in ("uar", "macro_f1", "ece", "ece_uncalibrated"):
        assert getattr(fast_scores, figure) == pytest.approx(manifest.metrics[f"{judged}_{figure}"], abs=0.005), figure
    for label, scores in manifest.per_class.items():
        for figure in ("precision", "recall", "f1"):
            assert fast_scores.per_class[label][figure] == pytest.approx(getattr(scores, figure), abs=0.02), label
