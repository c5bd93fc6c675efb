from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pictures import guesses
from speech import speech_clips, spoken, voice

from moodreel.schemas.config import SoundConfig
from moodreel.schemas.training import Mfccs, SoundAugmentation, SoundFeatures
from moodreel.tasks.acoustics import SoundAnalyst
from moodreel.tasks.learning.clip_examples import (
    ClipRows,
    _digest,
    clip_probabilities,
    learning_examples,
    plain_examples,
    read_clip_rows,
)
from moodreel.tasks.learning.clips import LabelledClips
from moodreel.tasks.learning.mfccs import read_mfccs

ONCE, TWICE = SoundAugmentation(num_copies=1), SoundAugmentation(num_copies=2)
NONE = SoundAugmentation(num_copies=0)
LEVEL_ONLY = {"noise_probability": 0.0, "pitch_semitones": 0.0, "speed_share": 0.0}


def no_reading(done: int, count: int) -> None:
    raise AssertionError("clips were read again")


@pytest.fixture(scope="module")
def clips() -> LabelledClips:
    """Speech, the same again, speech and then silence, silence alone."""
    silence = np.zeros(64_000, np.float32)
    sounds = [spoken(2.5), spoken(2.5), np.concatenate([spoken(2.5), silence]), silence]
    return speech_clips([3, 3, 4, 6], sounds, sexes=["female", "male", "", "male"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs") / "made" / "if need be"


@pytest.fixture(scope="module")
def rows(clips: LabelledClips, folder: Path) -> ClipRows:
    told: list[tuple[int, int]] = []
    found = read_clip_rows(clips, SoundFeatures(augmentation=ONCE), folder, 0, lambda *counts: told.append(counts))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    return found


@pytest.fixture(scope="module")
def mfcc_rows(folder: Path) -> tuple[LabelledClips, ClipRows]:
    short = speech_clips([0, 5], [voice(1.5), voice(1, 200)])
    sound = Mfccs(augmentation=SoundAugmentation(num_copies=2, **LEVEL_ONLY))
    return short, read_clip_rows(short, sound, folder, 0)


@pytest.fixture(scope="module")
def features(clips: LabelledClips) -> NDArray[np.float32]:
    """Of the windows of the first clip."""
    [table] = SoundAnalyst(SoundConfig()).describe([clips.sounds[0]])
    return np.array(table["features"].to_pylist(), np.float32)


def test_rows_are_windows_of_features_with_their_clip_and_copy(rows: ClipRows, features: NDArray[np.float32]) -> None:
    plain = rows.copies == 0
    assert rows.clips[plain].tolist() == [0] * 2 + [1] * 2 + [2] * 6 + [3] * 3
    assert set(rows.copies[~plain]) == {1} and set(rows.clips[~plain]) == {0, 1, 2, 3}
    assert (np.diff(rows.clips) >= 0).all()
    np.testing.assert_array_equal(rows.values[plain & (rows.clips == 0)], features)


def test_copies_are_changed_each_in_its_own_way(rows: ClipRows, features: NDArray[np.float32]) -> None:
    copies = [rows.values[(rows.clips == clip) & (rows.copies == 1)] for clip in (0, 1)]
    assert not np.array_equal(copies[0], features)
    assert not np.array_equal(copies[0], copies[1])


def test_windows_without_speech_are_not_heard_unless_the_clip_has_no_others(rows: ClipRows) -> None:
    plain = rows.copies == 0
    assert rows.is_heard[rows.clips == 0].all()
    assert rows.is_heard[plain & (rows.clips == 2)].tolist() == [True] * 2 + [False] * 4
    assert rows.is_heard[rows.clips == 3].all()


def test_rows_are_read_once(clips: LabelledClips, rows: ClipRows, folder: Path) -> None:
    again = read_clip_rows(clips, SoundFeatures(augmentation=ONCE), folder, 0, no_reading)
    for name in ("values", "clips", "copies", "is_heard"):
        np.testing.assert_array_equal(getattr(again, name), getattr(rows, name))
    assert all(path.suffix == ".npz" for path in folder.iterdir())


def test_share_of_speech_and_seed_are_followed(clips: LabelledClips, rows: ClipRows, folder: Path) -> None:
    again = read_clip_rows(clips, SoundFeatures(augmentation=ONCE, min_speech_share=0.0), folder, 1)
    assert again.is_heard.all()
    np.testing.assert_array_equal(again.values[again.copies == 0], rows.values[rows.copies == 0])
    first, other = (each.values[each.copies == 1][:2] for each in (rows, again))
    assert not np.array_equal(first, other)


@pytest.mark.slow  # see test_mfccs.py
def test_mfccs_are_one_row_a_clip_and_copy(mfcc_rows: tuple[LabelledClips, ClipRows]) -> None:
    short, rows = mfcc_rows
    assert rows.values.shape == (6, 13, 157)
    assert rows.clips.tolist() == [0, 0, 0, 1, 1, 1] and rows.copies.tolist() == [0, 1, 2, 0, 1, 2]
    assert rows.is_heard.all()
    for number, samples in enumerate(short.sounds):
        np.testing.assert_allclose(rows.values[3 * number], read_mfccs(samples, Mfccs()), atol=1e-3)
    assert len({row.tobytes() for row in rows.values}) == 6


def test_every_setting_the_seed_and_the_sound_give_other_rows() -> None:
    first = speech_clips([0, 1])
    versions = [
        (first, SoundFeatures(), 0),
        (first, SoundFeatures(), 1),
        (speech_clips([0, 1], [voice(0.2), voice(0.3)]), SoundFeatures(), 0),
        (first, SoundFeatures(min_speech_share=0.2), 0),
        (first, Mfccs(), 0),
        (first, Mfccs(num_coefficients=12), 0),
        (first, Mfccs(offset_s=0.1), 0),
        (first, Mfccs(length_s=2.0), 0),
        *((first, SoundFeatures(augmentation=one), 0) for one in (NONE, ONCE, TWICE, SoundAugmentation(gain_db=1.0))),
    ]
    assert len({_digest(*version) for version in versions}) == len(versions)
    relabelled = speech_clips([5, 5], first.sounds, sexes=["male", "female"])
    assert _digest(relabelled, SoundFeatures(), 0) == _digest(*versions[0])


def test_learning_leaves_out_silent_windows_and_takes_changed_copies(clips: LabelledClips, rows: ClipRows) -> None:
    chosen = np.array([2, 0])
    learnt = learning_examples(rows, clips, chosen, joint=False)
    own = rows.is_heard & ((rows.clips == 0) | (rows.clips == 2))
    np.testing.assert_array_equal(learnt.vectors, rows.values[own])
    assert rows.copies[own].max() == 1
    np.testing.assert_array_equal(learnt.labels, np.where(rows.clips[own] == 0, 3, 4))


def test_what_is_measured_holds_all_windows_and_no_changed_copy(
    clips: LabelledClips, rows: ClipRows, features: NDArray[np.float32]
) -> None:
    measured = plain_examples(rows, clips, np.array([2, 0]))
    assert measured.labels.tolist() == [3] * 2 + [4] * 6
    np.testing.assert_array_equal(measured.vectors[:2], features)
    np.testing.assert_array_equal(measured.vectors[2:], rows.values[(rows.clips == 2) & (rows.copies == 0)])


def made_rows() -> ClipRows:
    """Three clips of two, one and three windows; a changed copy of the first; the last is heard in its first two."""
    return ClipRows(
        values=np.arange(8, dtype=np.float32)[:, None],
        clips=np.array([0, 0, 0, 0, 1, 2, 2, 2]),
        copies=np.array([0, 0, 1, 1, 0, 0, 0, 0]),
        is_heard=np.array([True, True, True, True, True, True, True, False]),
    )


def test_nobody_chosen_gives_no_examples() -> None:
    made, nobody = speech_clips([3, 4, 5]), np.zeros(0, np.int64)
    for found in (
        plain_examples(made_rows(), made, nobody),
        learning_examples(made_rows(), made, nobody, joint=True),
    ):
        assert (len(found.labels), found.vectors.shape) == (0, (0, 1))


def test_targets_are_the_label_or_sex_and_label_together() -> None:
    made = speech_clips([3, 4, 5], sexes=["female", "male", ""])
    single = learning_examples(made_rows(), made, np.arange(3), joint=False)
    joint = learning_examples(made_rows(), made, np.arange(3), joint=True)
    targets = [each.draw(torch.arange(7), torch.Generator()).targets.numpy() for each in (single, joint)]
    assert [each.shape for each in targets] == [(7, 7), (7, 14)]
    np.testing.assert_array_equal(targets[0], np.eye(7)[[3, 3, 3, 3, 4, 5, 5]])
    np.testing.assert_array_equal(targets[1].sum(1), np.ones(7))
    assert (targets[1][:4, 3] == 1).all()
    assert targets[1][4, 7 + 4] == 1
    assert (targets[1][5:, [5, 7 + 5]] == 0.5).all()


def test_a_clips_probabilities_are_the_mean_over_its_windows_with_speech() -> None:
    sure = guesses([0, 1, 2, 3, 4], 0.9)  # of the rows of clips 0 and 2, as they are
    found = clip_probabilities(made_rows(), np.array([2, 0]), sure)
    assert found.shape == (2, 7)
    np.testing.assert_allclose(found[0], (sure[2] + sure[3]) / 2)
    np.testing.assert_allclose(found[1], (sure[0] + sure[1]) / 2)
    single = clip_probabilities(made_rows(), np.array([1]), sure[4:])
    np.testing.assert_array_equal(single, sure[4:])


def test_a_clip_without_speech_is_judged_by_all_its_windows(rows: ClipRows) -> None:
    sure = guesses([1, 1, 5], 0.9)
    found = clip_probabilities(rows, np.array([3]), sure)
    np.testing.assert_allclose(found[0], sure.mean(0), rtol=1e-6)
