import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from moodreel.tasks.persons import VideoFaces, compare_views, find_cuts, number_persons

FPS = 5.0
RNG = np.random.default_rng(7)
LOOKS = RNG.integers(0, 255, (6, 300)).astype(np.uint8)


def scene(
    rows: list[tuple[int, float, int]], num_frames: int, cuts: tuple[int, ...] = (), width: float = 40.0
) -> VideoFaces:
    """Faces as (frame, x of the left edge, whose look), 40 px wide, with the given cuts."""
    rows = sorted(rows)
    change = np.full(num_frames, 1.0, np.float32)
    likeness = np.ones(num_frames, np.float32)
    change[list(cuts)], likeness[list(cuts)] = 30.0, 0.5
    x = np.array([x for _, x, _ in rows], np.float64)
    return VideoFaces(
        ts_s=np.arange(num_frames) / FPS,
        change=change,
        likeness=likeness,
        frame=np.array([frame for frame, _, _ in rows], np.int64),
        boxes=np.stack([x, x * 0 + 20, x + width, x * 0 + 60], axis=1) if rows else np.zeros((0, 4)),
        scores=np.ones(len(rows), np.float32),
        looks=LOOKS[[who for _, _, who in rows]] if rows else np.zeros((0, 300), np.uint8),
    )


def test_one_face_that_moves_slowly_is_one_person_from_its_first_frame() -> None:
    tracks = number_persons(scene([(i, 100 + 5 * i, 0) for i in range(20)], 20), FPS)
    assert tracks.tolist() == [0] * 20


def test_two_faces_side_by_side_are_two_persons() -> None:
    rows = [(i, x, who) for i in range(10) for who, x in enumerate((50.0, 300.0))]
    assert number_persons(scene(rows, 10), FPS).tolist() == [0, 1] * 10


def test_another_face_at_the_same_place_after_a_cut_is_another_person() -> None:
    rows = [(i, 100.0, 0 if i < 10 else 1) for i in range(20)]
    assert number_persons(scene(rows, 20, cuts=(10,)), FPS).tolist() == [0] * 10 + [1] * 10


def test_the_same_face_after_two_cuts_is_the_same_person() -> None:
    rows = [(i, 100.0, i // 10 % 2) for i in range(40)]
    expected = [0] * 10 + [1] * 10 + [0] * 10 + [1] * 10
    assert number_persons(scene(rows, 40, cuts=(10, 20, 30)), FPS).tolist() == expected


def test_a_face_lost_for_a_second_goes_on() -> None:
    rows = [(i, 100.0, 0) for i in range(20) if not 8 <= i < 13]
    assert set(number_persons(scene(rows, 20), FPS)) == {0}


def test_a_face_that_jumps_by_less_than_its_width_stays_one_person() -> None:
    rows = [(i, 100.0 + 35 * (i % 2), i % 6) for i in range(12)]
    assert set(number_persons(scene(rows, 12), FPS)) == {0}


def test_a_single_unlike_detection_is_a_person_of_its_own() -> None:
    rows = [(i, 100.0, 0) for i in range(10)] + [(5, 400.0, 1)]
    tracks = number_persons(scene(rows, 10), FPS)
    assert sorted(tracks.tolist()) == [0] * 10 + [1]


def test_two_alike_at_once_stay_two() -> None:
    rows = [(i, x, 0) for i in range(10) for x in (50.0, 300.0)]
    assert set(number_persons(scene(rows, 10), FPS)) == {0, 1}


def test_no_faces() -> None:
    assert number_persons(scene([], 5), FPS).tolist() == []


@given(
    st.lists(
        st.tuples(st.integers(0, 14), st.integers(0, 8), st.integers(0, 5)), max_size=40, unique_by=lambda r: r[:2]
    )
)
def test_persons_are_numbered_by_first_appearance_and_never_twice_in_a_frame(rows: list[tuple[int, int, int]]) -> None:
    faces = scene([(frame, 100.0 * place, who) for frame, place, who in rows], 15, cuts=(7,))
    tracks = number_persons(faces, FPS)
    firsts = list(dict.fromkeys(tracks.tolist()))
    assert firsts == list(range(len(firsts)))
    for frame in range(15):
        here = tracks[faces.frame == frame]
        assert len(set(here.tolist())) == len(here)


def test_a_sudden_movement_is_no_cut_and_a_cut_stands_out() -> None:
    change = np.array([0, 1, 1, 12, 1, 1, 30, 1, 1, 1], np.float32)
    likeness = np.array([1, 1, 1, 0.9, 1, 1, 0.4, 1, 1, 1], np.float32)
    assert find_cuts(change, likeness).tolist() == [6]
    assert find_cuts(np.full(10, 30, np.float32), np.full(10, 0.5, np.float32)).tolist() == []


def test_views_compare_by_content() -> None:
    a, b = (RNG.integers(0, 255, (24, 32, 3)).astype(np.float32) for _ in range(2))
    black = np.zeros((24, 32, 3), np.float32)
    assert compare_views(a, a) == (0.0, 1.0)
    assert compare_views(a, b)[1] < 0.3
    assert compare_views(black, black) == (0.0, 1.0)
    assert compare_views(black, a)[1] == 0.0
