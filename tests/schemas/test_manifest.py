import pytest
from pydantic import ValidationError

from moodreel.models.registry import REGISTERED, read_manifest
from moodreel.schemas.labels import LABELS
from moodreel.schemas.manifest import Manifest

VALUES = read_manifest(REGISTERED[0]).model_dump()


@pytest.mark.parametrize(
    "labels", [LABELS[:-1], (*LABELS, "contempt"), (*LABELS[:-1], "angry"), (*LABELS[:-1], "joy"), ()]
)
def test_labels_that_are_not_the_seven_once_each_are_refused(labels: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError, match="must occur once"):
        Manifest.model_validate(VALUES | {"labels": labels})


def test_labels_may_stand_in_another_order() -> None:
    manifest = Manifest.model_validate(VALUES | {"labels": LABELS[::-1]})
    assert manifest.output_order() == [6, 5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_a_temperature_is_above_zero(temperature: float) -> None:
    with pytest.raises(ValidationError, match="temperature"):
        Manifest.model_validate(VALUES | {"temperature": temperature})
    assert Manifest.model_validate({**VALUES, "temperature": 1.3}).temperature == 1.3


def test_a_manifest_without_a_temperature_leaves_logits_alone() -> None:
    plain = {name: value for name, value in VALUES.items() if name != "temperature"}
    assert Manifest.model_validate(plain).temperature == 1.0


def test_whatever_changes_the_probabilities_changes_the_model_id() -> None:
    manifest = read_manifest(REGISTERED[0])
    changed = [
        {"sha256": "0" * 64},
        {"temperature": manifest.temperature + 0.1},
        {"labels": manifest.labels[::-1]},
        {"input": manifest.image_input().model_copy(update={"margin": 0.3})},
    ]
    ids = {manifest.model_id, *(manifest.model_copy(update=change).model_id for change in changed)}
    assert len(ids) == len(changed) + 1
    assert manifest.model_copy(update={"licence": "another", "metrics": {}}).model_id == manifest.model_id
