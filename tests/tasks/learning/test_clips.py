from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from speech import coded, pitch_hz, speech_clips, tone, voice, write_speech

from moodreel.schemas.labels import LABELS
from moodreel.tasks.learning.clips import LabelledClips, digest_clips, read_labelled_clips
from moodreel.tasks.learning.labelled import refuse_missing_classes
from moodreel.tasks.sound import Samples


def names(clips: LabelledClips) -> list[str]:
    return [LABELS[i] for i in clips.labels]


def test_a_parquet_file_gives_sounds_labels_speakers_and_sexes(tmp_path: Path) -> None:
    data = write_speech(
        tmp_path / "acted.parquet", ["sad", "fear", "happy"], speakers=["7", None, "8"], sexes=["male", "female", None]
    )
    clips = read_labelled_clips(data)
    assert (names(clips), clips.num_skipped) == (["sad", "fear", "happy"], 0)
    assert clips.speakers.tolist() == ["acted 7", "", "acted 8"]
    assert clips.sexes.tolist() == ["male", "female", ""]
    assert clips.corpora.tolist() == ["acted"] * 3
    assert clips.is_copy is None
    for seed, samples in enumerate(clips.sounds):
        assert samples.dtype == np.float32
        np.testing.assert_allclose(samples, voice(0.2, seed=seed), atol=1 / 32768)


def test_speaker_and_sex_may_be_missing_and_speakers_may_be_numbers(tmp_path: Path) -> None:
    clips = read_labelled_clips(write_speech(tmp_path / "a.parquet", ["sad", "fear"]))
    assert clips.speakers.tolist() == clips.sexes.tolist() == ["", ""]
    numbered = pa.table({"flac": [coded(voice(0.2))] * 2, "label7": ["sad", "fear"], "speaker": [12, 0]})
    pq.write_table(numbered, tmp_path / "b.parquet")
    assert read_labelled_clips(tmp_path / "b.parquet").speakers.tolist() == ["b 12", "b 0"]


def test_null_and_unknown_labels_are_skipped_and_counted(tmp_path: Path) -> None:
    whole = coded(voice(0.2))
    sounds = [b"never decoded", whole, b"nor this", whole]
    clips = read_labelled_clips(write_speech(tmp_path / "a.parquet", [None, "sad", "calm", "fear"], sounds))
    assert (names(clips), clips.num_skipped) == (["sad", "fear"], 2)
    with pytest.raises(ValueError, match=r"b\.parquet holds no clip labelled with one of angry, .*, neutral"):
        read_labelled_clips(write_speech(tmp_path / "b.parquet", [None, "calm"]))


def test_every_file_of_a_folder_is_a_corpus_with_speakers_of_its_own(tmp_path: Path) -> None:
    write_speech(tmp_path / "b.parquet", ["sad"], speakers=["1"])
    write_speech(tmp_path / "a.parquet", ["fear", None], speakers=["1", "2"])
    clips = read_labelled_clips(tmp_path)
    assert (names(clips), clips.num_skipped) == (["fear", "sad"], 1)
    assert clips.corpora.tolist() == ["a", "b"]
    assert clips.speakers.tolist() == ["a 1", "b 1"]


def test_folders_named_by_label_may_spell_it_otherwise(tmp_path: Path) -> None:
    source = tmp_path / "acted"
    for folder, file, kind in [
        ("Anger", "a.WAV", "WAV"), ("fearful", "b.flac", "FLAC"), ("happiness", "c.ogg", "OGG"),
        ("sadness", "d.mp3", "MP3"), ("surprised", "e.wav", "WAV"), ("neutral", "f.wav", "WAV"),
        ("calm", "g.wav", "WAV"),
    ]:  # fmt: skip
        (source / folder).mkdir(parents=True)
        (source / folder / file).write_bytes(coded(tone(1), kind=kind))
    (source / "neutral" / "notes.txt").write_text("no sound")
    clips = read_labelled_clips(source)
    assert sorted(names(clips)) == ["angry", "fear", "happy", "neutral", "sad", "surprise"]
    assert clips.num_skipped == 1
    assert set(clips.corpora) == {"acted"} and set(clips.speakers) == set(clips.sexes) == {""}
    for samples in clips.sounds:
        assert pitch_hz(samples) == pytest.approx(440, abs=1)


@pytest.mark.parametrize(("rate_hz", "channels"), [(8_000, 1), (16_000, 2), (44_100, 2), (48_000, 6)])
def test_any_rate_and_channels_become_16_khz_mono(tmp_path: Path, rate_hz: int, channels: int) -> None:
    sound = np.repeat(tone(1.5, rate_hz=rate_hz)[:, None], channels, axis=1)
    [samples] = read_labelled_clips(write_speech(tmp_path / "a.parquet", ["sad"], [coded(sound, rate_hz)])).sounds
    assert samples.shape == (24_000,) and samples.dtype == np.float32
    assert pitch_hz(samples) == pytest.approx(440, abs=1)
    assert np.abs(samples[4_000:20_000]).max() == pytest.approx(0.2, rel=0.01)


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = voice(0.5, seed=1), voice(0.5, seed=2)
    data = write_speech(tmp_path / "a.parquet", ["sad"], [coded(np.stack([left, right], 1))])
    np.testing.assert_allclose(read_labelled_clips(data).sounds[0], (left + right) / 2, atol=1 / 32768)


def test_no_sample_lies_outside_full_scale(tmp_path: Path) -> None:
    loud = coded(tone(0.5, level=3.0, rate_hz=48_000), 48_000, "WAV", "FLOAT")
    [samples] = read_labelled_clips(write_speech(tmp_path / "a.parquet", ["sad"], [loud])).sounds
    assert (samples.min(), samples.max()) == (-1, 1)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere\.parquet: no such file or folder"):
        read_labelled_clips(tmp_path / "nowhere.parquet")


def test_a_file_of_something_else_is_told_what_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("text")
    with pytest.raises(ValueError, match=r"a\.parquet is no Parquet file"):
        read_labelled_clips(tmp_path / "a.parquet")
    pq.write_table(pa.table({"flac": [b""], "emotion": ["sad"]}), tmp_path / "b.parquet")
    with pytest.raises(ValueError, match=r"b\.parquet needs the columns flac and label7; it has flac, emotion"):
        read_labelled_clips(tmp_path / "b.parquet")


def test_a_folder_without_clips_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sad").mkdir()
    with pytest.raises(ValueError, match="holds no clip labelled with one of"):
        read_labelled_clips(tmp_path)


@pytest.mark.parametrize("broken", [b"", None, b"no sound", coded(voice(0.5))[:2000]])
def test_the_row_of_a_broken_sound_is_named(tmp_path: Path, broken: bytes | None) -> None:
    data = write_speech(tmp_path / "a.parquet", [None, "sad", "sad"], [None, coded(voice(0.2)), broken])
    with pytest.raises(ValueError, match=r"a\.parquet, row 2 \(the first is 0\): the sound can't be decoded"):
        read_labelled_clips(data)


def test_the_file_of_a_broken_or_empty_sound_is_named(tmp_path: Path) -> None:
    (tmp_path / "sad").mkdir()
    (tmp_path / "sad" / "a.wav").write_bytes(coded(np.zeros(0, np.float32), kind="WAV"))
    with pytest.raises(ValueError, match=r"sad/a\.wav: the sound is empty"):
        read_labelled_clips(tmp_path)
    (tmp_path / "sad" / "a.wav").write_bytes(coded(np.full(1, 0.1, np.float32), 44_100, "WAV"))
    with pytest.raises(ValueError, match=r"sad/a\.wav: the sound is empty"):
        read_labelled_clips(tmp_path)
    (tmp_path / "sad" / "a.wav").write_bytes(b"no sound")
    with pytest.raises(ValueError, match=r"sad/a\.wav: the sound can't be decoded"):
        read_labelled_clips(tmp_path)


def test_clips_have_as_many_of_everything() -> None:
    with pytest.raises(ValueError, match=r"expected 2 of everything; got the shapes \[\(2,\), \(3,\)\]"):
        replace(speech_clips([0, 1]), labels=np.zeros(3, np.int64))


def test_learning_wants_all_seven() -> None:
    refuse_missing_classes(speech_clips(range(7)).labels, Path("a"), "clip")
    with pytest.raises(ValueError, match="a has no clip of disgust, surprise; all seven are needed"):
        refuse_missing_classes(speech_clips([0, 2, 3, 4, 6]).labels, Path("a"), "clip")


def test_the_digest_changes_with_sounds_labels_speakers_and_sexes() -> None:
    sounds: list[Samples] = [voice(0.2, seed=seed) for seed in (1, 2)]
    versions = [
        speech_clips([0, 1], sounds),
        speech_clips([0, 1], sounds[::-1]),
        speech_clips([1, 0], sounds),
        speech_clips([0, 1], sounds, speakers=["made 0", "made 2"]),
        speech_clips([0, 1], sounds, sexes=["", "male"]),
    ]
    assert len({digest_clips(clips) for clips in versions}) == len(versions)
    assert digest_clips(versions[0]) == digest_clips(speech_clips([0, 1], [samples.copy() for samples in sounds]))
