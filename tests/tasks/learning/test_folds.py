import numpy as np
import pytest
from numpy.typing import NDArray
from pictures import guesses
from sklearn.metrics import balanced_accuracy_score, f1_score
from speech import speech_clips

from moodreel.schemas.labels import LABELS
from moodreel.tasks.learning.clips import LabelledClips
from moodreel.tasks.learning.folds import NUM_FOLDS, Fold, cross_validate, score_corpora, speaker_folds

EACH = 14  # clips of one speaker, two of every label


def spoken_by(num_speakers: int, *, unnamed: int = 0) -> LabelledClips:
    """Two of every label by each speaker; two corpora in turn that count their speakers from 0 each."""
    owners = np.repeat(np.arange(num_speakers), EACH)
    corpora = [f"corpus-{owner % 2}" for owner in owners]
    speakers = [f"{corpus} {owner // 2}" for corpus, owner in zip(corpora, owners, strict=True)]
    speakers[:unnamed] = [""] * unnamed
    sounds = [np.zeros(1, np.float32)] * len(owners)
    return speech_clips([*range(7), *range(7)] * num_speakers, sounds, speakers, corpora=corpora)


def test_no_speaker_is_heard_in_learning_and_measuring() -> None:
    clips = spoken_by(20)
    folds = speaker_folds(clips)
    assert len(folds) == NUM_FOLDS == 6
    for fold in folds:
        assert not set(clips.speakers[fold.learn]) & set(clips.speakers[fold.measure])
        assert len(set(clips.speakers[fold.measure])) in (3, 4)


def test_every_clip_is_measured_once_and_learnt_from_otherwise() -> None:
    clips = spoken_by(20)
    folds = speaker_folds(clips)
    everyone = np.arange(len(clips.labels))
    np.testing.assert_array_equal(np.sort(np.concatenate([fold.measure for fold in folds])), everyone)
    for fold in folds:
        np.testing.assert_array_equal(np.sort(np.concatenate([fold.learn, fold.measure])), everyone)
        assert (np.diff(fold.learn) > 0).all() and (np.diff(fold.measure) > 0).all()


def test_folds_are_the_same_every_time_and_shuffled() -> None:
    first, again = (speaker_folds(spoken_by(20)) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.learn, other.learn)
        np.testing.assert_array_equal(one.measure, other.measure)
    in_order = np.arange(len(first[0].measure))
    assert not any(np.array_equal(fold.measure - fold.measure[0], in_order) for fold in first)


def test_folds_have_like_classes_though_speakers_differ() -> None:
    # of every three speakers one is always angry, one always happy, one always sad
    labels = np.repeat([0, 3, 4] * 6, 5)
    speakers = [f"made {owner}" for owner in np.repeat(np.arange(18), 5)]
    clips = speech_clips(labels.tolist(), [np.zeros(1, np.float32)] * len(labels), speakers)
    for fold in speaker_folds(clips):
        assert np.bincount(labels[fold.measure], minlength=7).tolist() == [5, 0, 0, 5, 5, 0, 0]


def test_speakers_must_be_named() -> None:
    with pytest.raises(ValueError, match="needs clips whose speaker is named: Parquet with a column speaker"):
        speaker_folds(spoken_by(20, unnamed=1))


def test_six_speakers_are_enough_and_five_too_few() -> None:
    assert [len(fold.measure) for fold in speaker_folds(spoken_by(6))] == [EACH] * 6
    with pytest.raises(ValueError, match="5 speakers are too few for 6 folds that share none"):
        speaker_folds(spoken_by(5))


def test_cross_validation_gives_each_clip_what_its_own_fold_says() -> None:
    clips = spoken_by(12)
    folds = speaker_folds(clips)
    numbers: list[int] = []

    def judge(number: int, fold: Fold) -> NDArray[np.float32]:
        assert fold is folds[number]
        numbers.append(number)
        return guesses(clips.labels[fold.measure].tolist(), 0.3 + number / 10)

    found = cross_validate(clips, folds, judge)
    assert numbers == list(range(6))
    assert found.shape == (len(clips.labels), 7) and found.dtype == np.float32
    np.testing.assert_array_equal(found.argmax(1), clips.labels)
    for number, fold in enumerate(folds):
        np.testing.assert_allclose(found[fold.measure].max(1), 0.3 + number / 10)


def test_corpora_are_scored_by_themselves_and_all_together() -> None:
    labels = [0, 0, 3, 3, 3, 3, 6, 6]
    guessed = [0, 3, 3, 3, 3, 3, 6, 0]
    clips = speech_clips(
        labels,
        speakers=["b 1", "b 1", "b 2", "b 2", "b 2", "b 2", "a 1", "a 1"],
        corpora=["b"] * 6 + ["a"] * 2,
    )
    a, b, whole = score_corpora(clips, guesses(guessed, 0.7))
    assert [(one.corpus, one.n, one.num_speakers) for one in (a, b, whole)] == [("a", 2, 1), ("b", 6, 2), ("all", 8, 3)]
    assert (b.uar, b.accuracy) == pytest.approx((0.75, 5 / 6))  # half of the angry and all of the happy ones
    assert (a.uar, a.accuracy) == pytest.approx((0.5, 0.5))
    assert b.ece == pytest.approx(5 / 6 - 0.7, abs=1e-6)
    assert whole.uar == pytest.approx(balanced_accuracy_score(labels, guessed))
    assert whole.macro_f1 == pytest.approx(f1_score(labels, guessed, average="macro"))
    assert whole.confusion[0] == [1, 0, 0, 1, 0, 0, 0] and sum(map(sum, whole.confusion)) == 8
    assert list(whole.per_class) == list(LABELS)
    assert (whole.per_class["happy"]["recall"], whole.per_class["happy"]["n"]) == (1.0, 4)
    assert whole.per_class["sad"]["recall"] is None


def test_a_single_corpus_is_scored_once() -> None:
    [score] = score_corpora(speech_clips([1, 2, 2]), guesses([1, 2, 0]))
    assert (score.corpus, score.n, score.num_speakers, score.uar) == ("made", 3, 3, 0.75)
