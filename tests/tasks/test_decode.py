import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from clips import encode, numbered, read_number
from hypothesis import given
from hypothesis import strategies as st
from stamps import PICTURE, shift_stamp

from moodreel.schemas.config import PictureConfig
from moodreel.schemas.reasons import Reason, VideoError
from moodreel.schemas.values import Segment, VideoInfo
from moodreel.tasks.container import probe_video
from moodreel.tasks.decode import cut_segments, sample_frames, slot_of

WHOLE = Segment()


def regular(count: int, fps: Fraction = Fraction(25)) -> list[Fraction]:
    return [index / fps for index in range(count)]


def numbers(path: Path, segment: Segment = WHOLE, **settings: object) -> list[tuple[float, int]]:
    errors: list[str] = []
    found = [
        (sample.frame.ts_s, read_number(sample.frame.rgb))
        for sample in sample_frames(str(path), PictureConfig(**settings), segment, errors)  # type: ignore[arg-type]  # fields by name
        if not sample.is_context
    ]
    assert errors == []
    return found


def test_every_fifth_frame_of_25_fps_is_sampled_at_5(tmp_path: Path) -> None:
    clip = encode(tmp_path / "a.mp4", numbered(50), regular(50))
    assert numbers(clip) == [(pytest.approx(index / 25), index) for index in range(0, 50, 5)]


def test_sample_fps_changes_what_is_sampled(tmp_path: Path) -> None:
    clip = encode(tmp_path / "a.mp4", numbered(50), regular(50))
    assert [number for _, number in numbers(clip, sample_fps=12.5)] == list(range(0, 50, 2))
    assert [number for _, number in numbers(clip, sample_fps=1)] == [0, 25]


def test_variable_frame_rate_gives_the_first_frame_of_each_slot(tmp_path: Path) -> None:
    times = [Fraction(n, 100) for n in (0, 3, 10, 21, 22, 39, 41, 100, 119, 121)]
    clip = encode(tmp_path / "a.mp4", numbered(10), times)
    # slots of 0.2 s: [0, .03, .10] [.21, .22, .39] [.41] [1.0, 1.19] [1.21]
    assert numbers(clip) == [
        (pytest.approx(t, abs=2e-3), n) for t, n in [(0, 0), (0.21, 3), (0.41, 6), (1.0, 7), (1.21, 9)]
    ]


def test_a_slow_video_gives_each_frame_once(tmp_path: Path) -> None:
    clip = encode(tmp_path / "a.mp4", numbered(4), regular(4, Fraction(1)))
    assert [number for _, number in numbers(clip)] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("ten_bit.mp4", "libx264", "yuv420p10le"),
        ("full_range.mkv", "libx264", "yuvj444p"),
        ("vp9.webm", "libvpx-vp9", "yuv420p"),
        ("mpeg1.mpg", "mpeg1video", "yuv420p"),
        ("mjpeg.avi", "mjpeg", "yuvj420p"),
        ("hevc.mov", "libx265", "yuv420p"),
        ("ffv1.mkv", "ffv1", "bgr0"),
    ],
)
def test_codecs_and_pixel_formats_give_the_right_picture_and_time(
    tmp_path: Path, name: str, codec: str, pix_fmt: str
) -> None:
    clip = tmp_path / name
    with av.open(str(clip), "w") as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 96, pix_fmt
        stream.bit_rate = 4_000_000
        for frame in numbered(30):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode())
    assert numbers(clip) == [(pytest.approx(index / 25, abs=1e-3), index) for index in range(0, 30, 5)]
    samples = list(sample_frames(str(clip), PictureConfig(), WHOLE, []))
    red, green, blue = samples[0].frame.rgb[8, 8]
    assert red > 200 and green < 60 and blue < 60


def test_gif_is_a_video(tmp_path: Path) -> None:
    clip = tmp_path / "a.gif"
    with av.open(str(clip), "w") as out:
        stream = out.add_stream("gif", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "rgb8"
        for frame in numbered(10):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="rgb8")))
        out.mux(stream.encode())
    assert [number for _, number in numbers(clip)] == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mpg"])
def test_segments_give_the_same_frames_as_the_whole(tmp_path: Path, name: str) -> None:
    codec = "mpeg1video" if name.endswith("mpg") else "libx264"
    options = {} if codec == "mpeg1video" else {"g": "37", "bf": "3"}
    clip = tmp_path / name
    with av.open(str(clip), "w") as out:
        stream = out.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 160, 96, "yuv420p", 4_000_000
        for frame in numbered(250):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode())
    whole = list(sample_frames(str(clip), PictureConfig(), WHOLE, []))
    segments = [Segment(0, 7), Segment(7, 8), Segment(8, 33), Segment(33, None)]
    pieces = [list(sample_frames(str(clip), PictureConfig(), segment, [])) for segment in segments]
    assert [piece[0].is_context for piece in pieces] == [False, True, True, True]
    joined = [sample for piece in pieces for sample in piece if not sample.is_context]
    assert [sample.slot for sample in joined] == [sample.slot for sample in whole] == list(range(50))
    for one, other in zip(whole, joined, strict=True):
        np.testing.assert_array_equal(one.frame.rgb, other.frame.rgb)
    for piece, before in zip(pieces[1:], (6, 7, 32), strict=True):
        np.testing.assert_array_equal(piece[0].frame.rgb, whole[before].frame.rgb)


def test_decord_and_pyav_give_the_same_frames_of_a_plain_clip(tmp_path: Path) -> None:
    clip = encode(tmp_path / "a.mp4", numbered(60), regular(60))
    one, other = (list(sample_frames(str(clip), PictureConfig(decoder=name), WHOLE, [])) for name in ("pyav", "decord"))
    assert [sample.slot for sample in one] == [sample.slot for sample in other]
    for a, b in zip(one, other, strict=True):
        assert a.frame.ts_s == pytest.approx(b.frame.ts_s, abs=1e-6)
        np.testing.assert_array_equal(a.frame.rgb, b.frame.rgb)


def test_decord_says_what_it_cannot_read(tmp_path: Path) -> None:
    broken = tmp_path / "a.mp4"
    broken.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(100))
    with pytest.raises(VideoError) as caught:
        list(sample_frames(str(broken), PictureConfig(decoder="decord"), WHOLE, []))
    assert caught.value.reason is Reason.UNSUPPORTED_BY_DECODER


@pytest.mark.parametrize(("degrees", "corner"), [(90, (0, -1)), (180, (-1, -1)), (270, (-1, 0))])
def test_rotation_tags_turn_the_picture(tmp_path: Path, degrees: int, corner: tuple[int, int]) -> None:
    plain = encode(tmp_path / "plain.mp4", numbered(10), regular(10))
    data = bytearray(plain.read_bytes())
    # the display matrix of the track header: 9 numbers of 16.16 (last column 2.30) after 40 bytes of a version 0 box
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[degrees]
    for offset, value in ((0, a), (4, b), (12, c), (16, d)):
        data[at + offset : at + offset + 4] = (value * 65536).to_bytes(4, "big", signed=True)
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(data)
    info = probe_video(str(turned))
    rgb = next(iter(sample_frames(str(turned), PictureConfig(), WHOLE, []))).frame.rgb
    assert (info.height, info.width) == rgb.shape[:2] == ((96, 160) if degrees == 180 else (160, 96))
    row, column = (8 if edge == 0 else -8 for edge in corner)
    red, green, _ = rgb[row, column]
    assert red > 200 and green < 60, f"the red corner should be at {corner}"


def test_a_damaged_stream_keeps_the_rest(tmp_path: Path) -> None:
    clip = encode(tmp_path / "a.avi", numbered(50), regular(50), "mjpeg", "yuvj420p")
    data = bytearray(clip.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 6000] = bytes(6000)
    clip.write_bytes(data)
    errors: list[str] = []
    found = [read_number(s.frame.rgb) for s in sample_frames(str(clip), PictureConfig(), WHOLE, errors)]
    assert found[0] == 0 and found[-1] >= 40 and errors == []
    assert len(found) < 10, "what lay in the damage is not there"


def test_joined_recordings_whose_clock_jumps_back_are_no_whole_video(tmp_path: Path) -> None:
    part = encode(tmp_path / "part.ts", numbered(50), regular(50))
    joined = tmp_path / "joined.ts"
    joined.write_bytes(part.read_bytes() * 2)
    errors: list[str] = []
    found = [read_number(s.frame.rgb) for s in sample_frames(str(joined), PictureConfig(), WHOLE, errors)]
    assert found == list(range(0, 50, 5))
    assert errors == ["the clock jumps back from 2.0 to 0.0 s: the picture behind that is left out"]


def test_joined_recordings_have_no_duration_so_they_are_not_cut(tmp_path: Path) -> None:
    part = encode(tmp_path / "part.ts", numbered(50), regular(50))
    assert probe_video(str(part)).duration_s == pytest.approx(2, abs=0.1)
    (tmp_path / "joined.ts").write_bytes(part.read_bytes() * 2)
    assert probe_video(str(tmp_path / "joined.ts")).duration_s is None


@pytest.mark.parametrize("segment", [WHOLE, Segment(0, 10)])
def test_one_stamp_that_leaps_costs_its_own_picture(tmp_path: Path, segment: Segment) -> None:
    clip = encode(tmp_path / "a.ts", numbered(75), regular(75), options={"bf": "0"})
    shift_stamp(clip, PICTURE, 25, seconds=1000)
    assert probe_video(str(clip)).duration_s == pytest.approx(3, abs=0.1)
    errors: list[str] = []
    found = [read_number(s.frame.rgb) for s in sample_frames(str(clip), PictureConfig(), segment, errors)]
    assert found == [26 if number == 25 else number for number in range(0, 50 if segment.end_slot else 75, 5)]
    assert errors == ["a time stamp leaps to 1001.0 s: its picture is left out"]


def test_no_memory_is_no_damage(tmp_path: Path) -> None:
    white = np.full((1200, 1600, 3), 255, np.uint8)
    clip = encode(tmp_path / "a.avi", [white] * 6, regular(6), codec="mjpeg", pix_fmt="yuvj420p")
    script = """
import resource, sys, psutil
from moodreel.schemas.config import PictureConfig
from moodreel.schemas.values import Segment
from moodreel.tasks.decode import sample_frames
most = psutil.Process().memory_info().vms + 4 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (most, most))
try:
    print(len(list(sample_frames(sys.argv[1], PictureConfig(sample_fps=25.0), Segment(), []))), "frames")
except MemoryError:
    print("no memory")
"""
    told = subprocess.run([sys.executable, "-c", script, clip], capture_output=True, text=True)
    assert told.stdout == "no memory\n", told.stderr


def test_no_duration_in_the_header_stays_one_segment() -> None:
    info = VideoInfo(None, None, 160, 96, "vp9", None, 0)
    assert cut_segments(info, 5.0) == [Segment()]


@given(
    duration_s=st.floats(0, 1e6),
    fps=st.sampled_from([0.1, 1.0, 5.0, 29.97]),
    segment_s=st.floats(0.5, 1000),
)
def test_segments_cover_every_slot_once(duration_s: float, fps: float, segment_s: float) -> None:
    segments = cut_segments(VideoInfo(duration_s, 25.0, 1, 1, "h264", None, 0), fps, segment_s)
    assert segments[0].first_slot == 0 and segments[-1].end_slot is None
    for one, following in pairwise(segments):
        assert one.end_slot == following.first_slot > one.first_slot


@given(
    ticks=st.lists(st.integers(0, 10**7), min_size=1, max_size=50, unique=True),
    fps=st.sampled_from([0.5, 3.0, 5.0, 12.5, 29.97]),
)
def test_slots_grow_with_time_and_hold_less_than_their_length(ticks: list[int], fps: float) -> None:
    times = sorted(Fraction(tick, 90_000) for tick in ticks)
    slots = [slot_of(time, fps) for time in times]
    assert slots == sorted(slots)
    for time, slot in zip(times, slots, strict=True):
        assert slot / Fraction(fps) <= time < (slot + 1) / Fraction(fps)
