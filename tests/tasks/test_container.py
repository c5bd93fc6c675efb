from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import SPEECH, encode, numbered, write_clip
from PIL import Image

from moodreel.schemas.reasons import Reason, VideoError
from moodreel.tasks.container import probe_video


def reason_of(path: Path) -> Reason:
    with pytest.raises(VideoError) as caught:
        probe_video(str(path))
    assert str(path) in caught.value.message and "\n" not in caught.value.message
    return caught.value.reason


def test_probe_tells_size_codecs_and_duration(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", numbered(50), sound=SPEECH)
    info = probe_video(str(tmp_path / "a.mp4"))
    assert (info.width, info.height, info.video_codec, info.audio_codec) == (160, 96, "h264", "aac")
    assert info.fps == 25 and info.rotation_deg == 0
    assert info.duration_s == pytest.approx(7.04, abs=0.1)


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    assert reason_of(tmp_path / "a.mp4") is Reason.EMPTY_FILE


@pytest.mark.parametrize(
    "content",
    [
        b"just text\n" * 50,
        b"1\n00:00:01,000 --> 00:00:02,000\nsubtitle\n",
        b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n",
        b"\0\0\0\x18ftypmp42" + bytes(2000),
    ],
)
def test_text_playlists_and_rubble_posing_as_video_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    assert reason_of(tmp_path / "a.mp4") is Reason.NOT_A_VIDEO


def test_a_size_that_no_memory_could_hold_is_damage(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", numbered(50))
    data = bytearray((tmp_path / "a.mp4").read_bytes())
    at = data.index(b"stts") + 8  # behind version and flags: how many entries
    data[at : at + 4] = b"\x7f\xff\xff\xff"
    (tmp_path / "a.mp4").write_bytes(data)
    assert reason_of(tmp_path / "a.mp4") is Reason.NOT_A_VIDEO


def test_pictures_posing_as_video_are_refused(tmp_path: Path) -> None:
    for kind in ("PNG", "JPEG"):
        Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / f"{kind}.mp4", kind)
        assert reason_of(tmp_path / f"{kind}.mp4") is Reason.NOT_A_VIDEO


def test_names_that_look_like_protocols_are_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = encode(tmp_path / "plain.mp4", numbered(5), [Fraction(i, 25) for i in range(5)])
    odd = tmp_path / "concat:x|y.mp4"
    clip.rename(odd)
    assert probe_video(str(odd)).width == 160


def test_sound_without_picture(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as out, av.open(str(SPEECH)) as source:
        track = out.add_stream("aac", rate=44_100, layout="mono")
        resampler = av.AudioResampler("fltp", "mono", 44_100, frame_size=1024)
        for piece in [*source.decode(audio=0), None]:
            for ready in resampler.resample(piece):
                out.mux(track.encode(ready))
        out.mux(track.encode())
    assert reason_of(tmp_path / "a.mp4") is Reason.NO_VIDEO_STREAM


def test_a_cut_off_index(tmp_path: Path) -> None:
    clip = encode(tmp_path / "a.mp4", numbered(50), [Fraction(i, 25) for i in range(50)])
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) // 2])
    assert reason_of(clip) is Reason.NOT_A_VIDEO


def test_one_frame_is_enough(tmp_path: Path) -> None:
    clip = encode(tmp_path / "a.mp4", numbered(1), [Fraction(0)])
    assert probe_video(str(clip)).height == 96


def test_a_stream_of_which_nothing_decodes(tmp_path: Path) -> None:
    clip = encode(tmp_path / "a.avi", numbered(5), [Fraction(i, 25) for i in range(5)], "mjpeg", "yuvj420p")
    data = bytearray(clip.read_bytes())
    start, end = data.index(b"movi") + 4, data.index(b"idx1")
    at = start
    while at < end:  # keep the chunks' heads, wipe what they hold
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        data[at + 8 : at + 8 + size] = b"\x55" * size
        at += 8 + size + size % 2
    clip.write_bytes(data)
    assert reason_of(clip) is Reason.NO_FRAMES


def test_a_file_that_went_away(tmp_path: Path) -> None:
    assert reason_of(tmp_path / "a.mp4") is Reason.VANISHED
