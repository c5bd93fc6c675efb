import io
import json
from dataclasses import asdict

import numpy as np
import pytest
from pictures import guesses, labelled, noise_picture
from PIL import Image

from moodreel.models.registry import REGISTERED
from moodreel.schemas.labels import LABELS
from moodreel.tasks.learning.calibration import apply_temperature
from moodreel.tasks.learning.evaluate import classify_faces, open_picture, score


def test_scores_are_given_with_and_without_copies_of_training_pictures() -> None:
    faces = labelled([0, 0, 1, 1], is_copy=[False, True, False, False])
    scores = score("m", faces, guesses([0, 1, 1, 1]), 2.0)
    assert (scores.n, scores.n_leak_free) == (4, 3)
    assert (scores.accuracy, scores.accuracy_leak_free) == (0.75, 1.0)
    assert scores.macro_f1 == pytest.approx((2 / 3 + 0.8) / 2)
    alone = score("m", labelled([0, 1, 1]), guesses([0, 1, 1]), 2.0)
    for name in ("n", "accuracy", "uar", "macro_f1", "auc", "rmse", "ece", "per_class", "confusion"):
        assert getattr(scores.leak_free, name) == getattr(alone, name) != getattr(scores, name), name
    assert (scores.seconds, scores.seconds_per_image) == (2.0, 0.5)


def test_what_the_data_cannot_say_is_null_and_never_nan() -> None:
    scores = score("m", labelled([3, 3], is_copy=[True, True]), guesses([3, 0]), 0.0)
    told = json.loads(json.dumps(asdict(scores), allow_nan=False))
    for name in ("accuracy_leak_free", "leak_free", "auc"):
        assert told[name] is None
    assert told["n_leak_free"] == 0 and told["uar"] == 0.5
    unknown = score("m", labelled([3, 3]), guesses([3, 0]), 0.0)
    assert unknown.n_leak_free is unknown.leak_free is None, "the data don't say which are copies"
    assert told["per_class"]["sad"] == {"precision": None, "recall": None, "f1": None, "n": 0}
    assert told["confusion_normalised"][LABELS.index("sad")] == [None] * 7


def test_the_error_without_the_temperature_is_that_of_the_networks_own_probabilities() -> None:
    labels = np.arange(70) % 7
    own = guesses([*labels[:35], *(labels[35:] + 1) % 7], 0.9)
    plain = score("m", labelled(list(labels)), own, 0.0)
    corrected = score("m", labelled(list(labels)), apply_temperature(own, 2.0), 0.0, temperature=2.0)
    assert plain.ece == plain.ece_uncalibrated == pytest.approx(0.4, abs=1e-4)
    assert corrected.ece_uncalibrated == pytest.approx(plain.ece, abs=1e-4)
    assert corrected.ece < 0.1 and corrected.temperature == 2.0
    assert corrected.accuracy == plain.accuracy


def resized(picture: bytes, width: int, height: int) -> bytes:
    data = io.BytesIO()
    Image.open(io.BytesIO(picture)).resize((width, height), Image.Resampling.BILINEAR).save(data, "PNG")
    return data.getvalue()


def test_oblong_pictures_are_stretched_to_a_square() -> None:
    faces, squares = labelled([0, 1]), labelled([0, 1])
    faces.images[:] = [resized(noise_picture(0), 64, 40), resized(noise_picture(1), 40, 64)]
    squares.images[:] = [resized(image, 64, 64) for image in faces.images]
    np.testing.assert_array_equal(classify_faces(REGISTERED[0], faces), classify_faces(REGISTERED[0], squares))


def test_pictures_can_be_reduced_to_small_grey_first() -> None:
    data = io.BytesIO()
    Image.new("RGB", (128, 100), "red").save(data, "PNG")
    small, whole = (open_picture(data.getvalue(), as_grey48) for as_grey48 in (True, False))
    assert (small.size, small.mode, small.getpixel((0, 0))) == ((48, 48), "RGB", (76, 76, 76))
    assert (whole.size, whole.getpixel((0, 0))) == ((128, 128), (255, 0, 0))
