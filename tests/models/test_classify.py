import numpy as np
import pytest

from moodreel.models.inference import BATCH, Classifier, Inputs, Outputs, classify
from moodreel.models.registry import REGISTERED, read_manifest
from moodreel.schemas.labels import LABELS, NUM_LABELS
from moodreel.schemas.manifest import Manifest

MANIFEST = read_manifest(REGISTERED[0]).model_copy(update={"num_features": None, "temperature": 1.0})
SIDE_PX = MANIFEST.image_input().side_px
LOGITS = np.array([3.0, 1.0, 0.5, -1.0, 2.0, 0.0, -2.0], np.float32)


def giving(logits: np.ndarray[tuple[int], np.dtype[np.float32]]) -> Classifier:
    """A network that says the same of every face."""

    def run(images: Inputs) -> Outputs:
        return (np.repeat(logits[None], BATCH, 0),)

    return run


def probabilities(manifest: Manifest, count: int = 2) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    side = manifest.image_input().side_px
    return classify(giving(LOGITS), manifest, np.zeros((count, 3, side, side), np.float32)).probabilities


def test_logits_are_divided_by_the_manifests_temperature() -> None:
    for temperature in (1.0, 2.0):
        powers = np.exp(LOGITS / temperature)
        found = probabilities(MANIFEST.model_copy(update={"temperature": temperature}))
        np.testing.assert_allclose(found, np.repeat(powers[None] / powers.sum(), 2, 0), rtol=1e-5)


def test_outputs_in_another_order_come_out_in_the_order_of_labels() -> None:
    mixed = MANIFEST.model_copy(update={"labels": ("neutral", *LABELS[:-1])})
    np.testing.assert_array_equal(probabilities(mixed)[:, -1], probabilities(MANIFEST)[:, 0])
    np.testing.assert_array_equal(probabilities(mixed)[:, :-1], probabilities(MANIFEST)[:, 1:])


def test_a_network_with_other_outputs_than_labels_is_refused() -> None:
    eight = giving(np.zeros(NUM_LABELS + 1, np.float32))
    with pytest.raises(ValueError, match=f"{MANIFEST.name} has 8 outputs for 7 labels"):
        classify(eight, MANIFEST, np.zeros((1, 3, SIDE_PX, SIDE_PX), np.float32))
