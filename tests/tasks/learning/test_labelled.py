from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pictures import labelled, noise_picture, write_faces

from moodreel.schemas.labels import LABELS
from moodreel.tasks.learning.labelled import (
    LabelledFaces,
    decode_grey,
    labelled_by_votes,
    read_labelled_faces,
    refuse_missing_classes,
)

USAGES = ("Training", "PublicTest", "PublicTest", "PrivateTest")


def write_csv(path: Path, *, emotions: tuple[object, ...] = (0, 6, 3, 7), spoilt: str | None = None) -> Path:
    """FER2013's CSV: four rows, the third with the pixels of the first."""
    lines = ["emotion,pixels,Usage"]
    for row, (emotion, usage) in enumerate(zip(emotions, USAGES, strict=True)):
        pixels = " ".join(str((row % 2 + place) % 256) for place in range(48 * 48))
        lines.append(f"{emotion},{spoilt if spoilt is not None and row == 1 else pixels},{usage}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_fer2013s_own_csv_is_read_with_its_splits_and_copies(tmp_path: Path) -> None:
    data = write_csv(tmp_path / "fer2013.csv")
    whole = read_labelled_faces(data)
    assert ([LABELS[i] for i in whole.labels], whole.num_skipped) == (["angry", "neutral", "happy"], 1)
    assert whole.is_copy.tolist() == [False, False, True]
    assert decode_grey(whole.images, 48)[1, 0, :3].tolist() == [1, 2, 3]
    assert read_labelled_faces(data, "train").labels.tolist() == [0]
    public = read_labelled_faces(data, "public_test")
    assert (public.labels.tolist(), public.is_copy.tolist()) == ([6, 3], [False, True])
    with pytest.raises(ValueError, match="no picture labelled with one of"):
        read_labelled_faces(data, "private_test")
    with pytest.raises(ValueError, match="no split 'test'"):
        read_labelled_faces(data, "test")


def test_the_columns_of_the_csv_may_be_padded(tmp_path: Path) -> None:
    data = write_csv(tmp_path / "icml.csv")
    data.write_text(data.read_text().replace("emotion,pixels,Usage", "emotion, pixels, Usage"))
    assert len(read_labelled_faces(data, "train").images) == 1


@pytest.mark.parametrize("spoilt", ["", "1 2 3", "1 2 x", "256 " * 48 * 48])
def test_a_csv_row_with_other_pixels_is_named(tmp_path: Path, spoilt: str) -> None:
    data = write_csv(tmp_path / "fer2013.csv", spoilt=spoilt)
    with pytest.raises(ValueError, match=r"fer2013\.csv, row 1 .*2304 numbers of 0\.\.255"):
        read_labelled_faces(data, "public_test")


def test_a_csv_of_something_else_is_told_what_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("name,age\nx,1\n")
    with pytest.raises(ValueError, match=r"emotion, pixels and Usage; it has name, age"):
        read_labelled_faces(tmp_path / "a.csv")


def test_a_folder_may_hold_a_folder_for_each_split(tmp_path: Path) -> None:
    for split, label, seed in [("train", "sad", 1), ("public_test", "fear", 2)]:
        (tmp_path / split / label).mkdir(parents=True)
        (tmp_path / split / label / "a.png").write_bytes(noise_picture(seed))
    assert [LABELS[i] for i in read_labelled_faces(tmp_path, "train").labels] == ["sad"]
    assert [LABELS[i] for i in read_labelled_faces(tmp_path, "public_test").labels] == ["fear"]
    with pytest.raises(ValueError, match="no split 'test'"):
        read_labelled_faces(tmp_path, "test")


def test_rows_of_unknown_labels_are_skipped_and_counted(tmp_path: Path) -> None:
    faces = read_labelled_faces(write_faces(tmp_path / "a.parquet", ("contempt", "sad", "joy")))
    assert (faces.labels.tolist(), faces.num_skipped) == ([LABELS.index("sad")], 2)
    with pytest.raises(ValueError, match="no picture labelled with one of angry"):
        read_labelled_faces(write_faces(tmp_path / "b.parquet", ("contempt", "joy")))


@pytest.mark.parametrize("broken", [b"", b"no picture", noise_picture(0)[:300], None])
def test_the_row_of_a_corrupt_picture_is_named(tmp_path: Path, broken: bytes | None) -> None:
    pictures = [noise_picture(0), broken, noise_picture(1)]
    table = pa.table({"png": pa.array(pictures, pa.binary()), "label_name": ["sad"] * 3, "split": ["a", "b", "b"]})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"a\.parquet, row 1 .*can't be decoded"):
        read_labelled_faces(tmp_path / "a.parquet", "b")
    assert len(read_labelled_faces(tmp_path / "a.parquet", "a").images) == 1


def test_a_corrupt_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "sad").mkdir()
    (tmp_path / "sad" / "whole.png").write_bytes(noise_picture(0))
    (tmp_path / "sad" / "half.png").write_bytes(noise_picture(0)[:300])
    with pytest.raises(ValueError, match=r"sad/half\.png: the picture can't be decoded"):
        read_labelled_faces(tmp_path)


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("text")
    with pytest.raises(ValueError, match=r"a\.parquet is no Parquet file"):
        read_labelled_faces(tmp_path / "a.parquet")


def voted(labels: list[int], votes: list[dict[int, float]]) -> LabelledFaces:
    table = np.zeros((len(votes), len(LABELS)), np.float32)
    for row, shares in zip(table, votes, strict=True):
        row[list(shares)] = list(shares.values())
    return replace(labelled(labels, is_copy=[True] + [False] * (len(labels) - 1)), votes=table, num_skipped=1)


def test_the_taggers_can_be_taken_at_their_word() -> None:
    faces = voted([2, 3, 4, 0], [{6: 0.6, 2: 0.4}, {3: 0.5, 6: 0.5}, {}, {4: 1.0}])
    judged = labelled_by_votes(faces)
    assert (judged.labels.tolist(), judged.is_copy.tolist(), judged.num_skipped) == ([6, 4], [True, False], 3)
    assert judged.images == [faces.images[0], faces.images[3]]


def test_without_votes_nobody_can_be_taken_at_his_word() -> None:
    with pytest.raises(ValueError, match="no face has a label that most taggers gave; votes are columns fp_anger, "):
        labelled_by_votes(labelled([0, 1]))


def test_learning_wants_all_seven() -> None:
    refuse_missing_classes(labelled(range(7)).labels, Path("a"))
    with pytest.raises(ValueError, match="no training picture of disgust, surprise"):
        refuse_missing_classes(labelled([0, 2, 3, 4, 6]).labels, Path("a"))


@pytest.mark.needs_shared
def test_the_copies_of_fer2013_are_counted(fer2013: Path) -> None:
    faces = read_labelled_faces(fer2013, "public_test")
    assert (len(faces.images), int(faces.is_copy.sum())) == (3589, 280)
    assert np.bincount(faces.labels).min() == 56
