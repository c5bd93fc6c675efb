import tomllib

from moodreel.models.registry import REGISTERED, read_manifest
from moodreel.schemas.manifest import Denoising, Manifest
from moodreel.tasks.learning.export import manifest_toml


def test_a_manifest_written_and_read_is_the_same() -> None:
    facts = {
        "licence": 'so-called "free"\nuse \\ of å',
        "denoising": {"0.1": Denoising(noisy_psnr_db=26.0, denoised_psnr_db=31.5)},
    }
    manifest = read_manifest(REGISTERED[0]).model_copy(update=facts)
    assert manifest.per_class and manifest.training
    assert Manifest.model_validate(tomllib.loads(manifest_toml(manifest))) == manifest


def test_what_a_model_does_not_have_is_left_out_of_its_manifest() -> None:
    bare = {"num_features": None, "training": (), "per_class": {}, "denoising": {}, "known_failings": ()}
    manifest = read_manifest(REGISTERED[0]).model_copy(update=bare)
    written = tomllib.loads(manifest_toml(manifest))
    assert not bare.keys() & written.keys()
    assert Manifest.model_validate(written) == manifest
