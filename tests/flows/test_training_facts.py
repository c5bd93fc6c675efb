from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pictures import labelled

from moodreel.flows.training_facts import _FER2013_TRAIN, describe_clips, describe_faces
from moodreel.models.registry import DEFAULTS, REGISTERED, WEIGHTS, read_manifest
from moodreel.schemas.labels import LABELS
from moodreel.tasks.learning.labelled import LabelledFaces, read_labelled_faces
from moodreel.tasks.learning.recipes import RECIPES


def fer2013_labels(has_votes: bool) -> LabelledFaces:
    labels = np.repeat(np.arange(len(LABELS)), _FER2013_TRAIN)
    n = len(labels)
    votes = np.full((n, len(LABELS)), 1 / len(LABELS) if has_votes else 0, np.float32)
    return LabelledFaces([b""] * n, labels, votes, np.zeros(n, bool), None, {})


@pytest.mark.parametrize("name", [name for name in REGISTERED if read_manifest(name).task == "face"])
def test_what_learnt_from_fer2013_says_so_as_its_manifest_does(name: str) -> None:
    manifest = read_manifest(name)
    share = 1.0 if "votes" in name else 0.3
    config = RECIPES[manifest.network]().model_copy(update={"vote_share": share})
    facts = describe_faces(fer2013_labels(has_votes=True), "any.csv", config)
    assert facts == {each: getattr(manifest, each) for each in ("licence", "trained_on", "known_failings")}
    alone = config.model_copy(update={"distillation": None})
    assert describe_faces(fer2013_labels(has_votes=False), "any.csv", alone)["trained_on"] == "FER2013 train"


def test_what_learnt_from_other_pictures_claims_nothing_of_fer2013() -> None:
    faces, config = replace(labelled(range(7)), votes=np.full((7, 7), 1 / 7, np.float32)), RECIPES["debug"]()
    facts = describe_faces(faces, "ours.parquet", config)
    assert facts["licence"] == "that of ours.parquet, which it learnt from"
    assert facts["trained_on"] == "ours.parquet train, FER+ votes as soft labels"
    assert "FER2013" not in str(facts)
    began = describe_faces(faces, "ours.parquet", config, WEIGHTS / read_manifest("small-vgg").weights)
    assert began["licence"].endswith(f"with which it began: {read_manifest('small-vgg').licence}")
    hard = describe_faces(faces, "ours.parquet", config.model_copy(update={"vote_share": 0.0}))
    assert hard["trained_on"] == "ours.parquet train"


def test_voices_claim_the_corpora_that_were_heard() -> None:
    [name] = DEFAULTS["voice"]
    manifest, config = read_manifest(name), RECIPES[name]()
    facts = describe_clips(np.array(["ravdess_speech", "emodb_2s"] * 2), config)
    assert facts == {each: getattr(manifest, each) for each in ("licence", "trained_on", "known_failings")}
    ours = describe_clips(np.array(["ours", "theirs"]), config)
    assert ours["trained_on"] == "ours, theirs" and "openSMILE" in ours["licence"]
    assert "openSMILE" not in describe_clips(np.array(["ours"]), RECIPES["ser-cnn"]())["licence"]
    assert "openSMILE" not in describe_clips(np.array(["ravdess_speech", "emodb_2s"]), RECIPES["ser-cnn"]())["licence"]


@pytest.mark.needs_shared
def test_fer2013_is_known_by_its_labels(fer2013: Path) -> None:
    labels = read_labelled_faces(fer2013, "train").labels
    assert tuple(np.bincount(labels).tolist()) == _FER2013_TRAIN
