import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pictures import labelled, noise_picture, write_faces

from moodreel.schemas.labels import LABELS
from moodreel.tasks.learning.labelled import (
    OTHER_VOTE_COLUMNS,
    VOTE_COLUMNS,
    decode_grey,
    labelled_by_votes,
    read_labelled_faces,
    refuse_missing_classes,
)
from moodreel.tasks.learning.tables import read_parquet

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
    assert whole.is_copy is not None and whole.is_copy.tolist() == [True, False, True], "trained on, new, a copy"
    assert decode_grey(whole.images, 48)[1, 0, :3].tolist() == [1, 2, 3]
    assert read_labelled_faces(data, "train").labels.tolist() == [0]
    public = read_labelled_faces(data, "public_test")
    assert public.is_copy is not None
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


def test_a_picture_too_large_to_be_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "sad").mkdir()
    whole = noise_picture(0)
    size = struct.pack(">II", 60_000, 60_000)
    (tmp_path / "sad" / "bomb.png").write_bytes(
        whole[:16] + size + whole[24:29] + struct.pack(">I", zlib.crc32(b"IHDR" + size + whole[24:29])) + whole[33:]
    )
    with pytest.raises(ValueError, match=r"sad/bomb\.png: the picture can't be decoded \(Image size"):
        read_labelled_faces(tmp_path)


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("text")
    with pytest.raises(ValueError, match=r"a\.parquet is no Parquet file"):
        read_labelled_faces(tmp_path / "a.parquet")


def test_text_that_is_no_utf_8_is_damage(tmp_path: Path) -> None:
    path = write_faces(tmp_path / "a.parquet", ["sad"] * 40)
    whole = path.read_bytes()
    assert b"sad" in whole
    path.write_bytes(whole.replace(b"sad", b"\xffad"))
    with pytest.raises(ValueError, match=r"a\.parquet is no Parquet file, or a damaged one: .*UTF"):
        read_labelled_faces(path)


def test_a_disk_that_gives_nothing_is_not_called_damage(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_parquet(tmp_path / "a.parquet")


@pytest.mark.parametrize("place", ["page", "footer"])
def test_a_parquet_file_with_damage_in_a_page_or_in_its_footer_is_named(tmp_path: Path, place: str) -> None:
    path = write_faces(tmp_path / "a.parquet", ["sad"] * 40)
    whole = bytearray(path.read_bytes())
    [footer_bytes] = struct.unpack("<I", whole[-8:-4])
    first = 4 if place == "page" else len(whole) - 8 - footer_bytes
    whole[first : first + 40] = b"\xff" * 40
    path.write_bytes(whole)
    with pytest.raises(ValueError, match=r"a\.parquet is no Parquet file, or a damaged one: "):
        read_labelled_faces(path)


def write_votes(path: Path, votes: Sequence[dict[str, int]]) -> Path:
    """Faces labelled angry, the last one not among the seven, the first one a copy, with FER+'s columns."""
    table = pq.read_table(write_faces(path, ["angry"] * (len(votes) - 1) + ["contempt"])).to_pydict()
    columns = {name: [row.get(name, 0) for row in votes] for name in (*VOTE_COLUMNS, *OTHER_VOTE_COLUMNS)}
    copies = [True] + [False] * (len(votes) - 1)
    pq.write_table(pa.table({**table, **columns, "copy_in_train": copies}), path)
    return path


def test_the_taggers_can_be_taken_at_their_word(tmp_path: Path) -> None:
    votes = [
        {"fp_neutral": 4, "fp_fear": 3, "fp_unknown": 3},
        {"fp_happiness": 5, "fp_neutral": 5},  # nobody is ahead
        {},
        {"fp_sadness": 4, "fp_contempt": 5},  # ahead is an answer outside the seven
        {"fp_sadness": 4, "fp_nf": 4, "fp_fear": 2},
        {"fp_sadness": 10},
        {"fp_happiness": 10},
    ]
    faces = read_labelled_faces(write_votes(tmp_path / "a.parquet", votes))
    judged = labelled_by_votes(faces)
    assert judged.is_copy is not None
    assert (judged.labels.tolist(), judged.is_copy.tolist(), judged.num_skipped) == ([6, 4], [True, False], 5)
    assert judged.images == [faces.images[0], faces.images[5]]
    assert judged.votes[0].tolist() == pytest.approx([0, 0, 3 / 7, 0, 0, 0, 4 / 7])


def test_without_votes_nobody_can_be_taken_at_his_word() -> None:
    with pytest.raises(ValueError, match="no face has a commonest answer of taggers; votes are columns fp_anger, "):
        labelled_by_votes(labelled([0, 1]))


def test_what_was_learnt_from_is_known_where_the_data_say_it(tmp_path: Path) -> None:
    data = write_faces(tmp_path / "a.parquet", ["sad"] * 3, ["train", "public_test", "public_test"])
    assert read_labelled_faces(data).is_copy is None
    pq.write_table(pa.table({**pq.read_table(data).to_pydict(), "copy_in_train": [False, True, None]}), data)
    told = read_labelled_faces(data).is_copy
    assert told is not None and told.tolist() == [True, True, False]


def test_learning_wants_all_seven() -> None:
    refuse_missing_classes(labelled(range(7)).labels, Path("a"))
    with pytest.raises(ValueError, match="no training picture of disgust, surprise"):
        refuse_missing_classes(labelled([0, 2, 3, 4, 6]).labels, Path("a"))


@pytest.mark.needs_shared
def test_the_copies_of_fer2013_are_counted(fer2013: Path) -> None:
    faces = read_labelled_faces(fer2013, "public_test")
    assert faces.is_copy is not None and (len(faces.images), int(faces.is_copy.sum())) == (3589, 280)
    assert np.bincount(faces.labels).min() == 56
