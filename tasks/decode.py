"""Sampled frames by presentation time.

Time is cut into slots of 1 / sample_fps, counted from the first frame's presentation; the first frame that begins in
a slot is its sample. Which frames are sampled therefore depends on the video alone, not on where decoding started, and
a frame that stands for several slots is taken once. PyAV is the default: for this access pattern it and decord take the
same time within a tenth (60 s of 360x288 H.264 in 0.33 s and 0.34; tests/support/bench_decoders.py), and it reads more
files. Only sampled frames are converted to RGB: at 720p the conversion
costs as much as decoding.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from moodreel.schemas.config import PictureConfig
from moodreel.schemas.reasons import Reason, VideoError
from moodreel.schemas.values import Frame, Segment, VideoInfo
from moodreel.tasks.container import JUMP_S, choose_picture, mark_leaps, open_video, picture_start_s, require_memory

SEGMENT_S = 120.0
MAX_SEGMENTS = 512  # a header may claim any duration
_SEEK_BACK_S = (1, 10, 60)  # how far before a segment to look for a key frame, before starting from the beginning


@dataclass(frozen=True, slots=True)
class Sample:
    """A sampled frame and its slot; `is_context` marks the one before a segment, given for comparison only."""

    slot: int
    frame: Frame
    is_context: bool


def slot_of(ts_s: Fraction, sample_fps: float) -> int:
    """Return the slot in which a frame begins, in exact arithmetic."""
    return floor(ts_s * Fraction(sample_fps))


def cut_segments(info: VideoInfo, sample_fps: float, segment_s: float = SEGMENT_S) -> list[Segment]:
    """Cut a video's slots into segments; the last one is open, since headers err.

    A video without a duration in its header stays whole.
    """
    if info.duration_s is None or info.duration_s < 2 * segment_s:
        return [Segment()]
    count = min(int(info.duration_s / segment_s), MAX_SEGMENTS)
    edges = [floor(Fraction(info.duration_s) * i / count * Fraction(sample_fps)) for i in range(count)]
    return [
        Segment(first, end) for first, end in zip(edges, [*edges[1:], None], strict=True) if end is None or end > first
    ]


def sample_frames(path: str, config: PictureConfig, segment: Segment, errors: list[str]) -> Iterator[Sample]:
    """Yield the samples of a segment in order, preceded by the last sample before it.

    Args:
        path: the video.
        config: the sampling rate and the decoder.
        segment: which slots.
        errors: gets a line for every part that could not be decoded, behind which decoding goes on, and one where the
            clock jumps back, behind which nothing is sampled until it has caught up.

    Raises:
        VideoError: what `open_video` raises, or UNSUPPORTED_BY_DECODER.
    """
    if config.decoder == "decord":
        yield from _sample_with_decord(path, config.sample_fps, segment)
        return
    with open_video(path, "picture") as container:
        stream = choose_picture(container, path)
        # One thread: parallelism comes from processes.
        stream.thread_count = 1
        start = picture_start_s(container, stream)
        _seek_before(container, stream, start, segment, config.sample_fps)
        context: Sample | None = None
        last_slot = -1
        newest_s: Fraction | None = None
        has_jumped = False
        for picture, is_leap in mark_leaps(_decode(container, stream, errors), most=1):
            if picture.pts is None or picture.time_base is None:
                continue
            ts_s = picture.pts * picture.time_base - start
            if is_leap:
                errors.append(f"a time stamp leaps to {float(ts_s):.1f} s: its picture is left out")
                continue
            newest_s = ts_s if newest_s is None else max(newest_s, ts_s)
            if ts_s < newest_s - JUMP_S and not has_jumped:  # as where recordings were joined
                has_jumped = True
                told = f"the clock jumps back from {float(newest_s):.1f} to {float(ts_s):.1f} s"
                errors.append(f"{told}: the picture behind that is left out")
            slot = slot_of(ts_s, config.sample_fps)
            if slot <= last_slot or slot < 0:
                continue
            last_slot = slot
            if segment.end_slot is not None and slot >= segment.end_slot:
                break
            sample = Sample(slot, Frame(float(ts_s), upright_rgb(picture)), slot < segment.first_slot)
            if sample.is_context:
                context = sample
                continue
            if context is not None:
                yield context
                context = None
            yield sample


def upright_rgb(picture: av.VideoFrame) -> NDArray[np.uint8]:
    """Convert a frame of any pixel format to (h, w, 3) uint8 RGB, turned as its rotation tag says."""
    # with more threads the converter waits for them: 2.4 s instead of 0.3 for 300 frames on a busy machine
    rgb: NDArray[np.uint8] = picture.to_ndarray(format="rgb24", threads=1).astype(np.uint8, copy=False)
    return np.ascontiguousarray(np.rot90(rgb, picture.rotation // 90)) if picture.rotation % 360 else rgb


def _decode(container: InputContainer, stream: VideoStream, errors: list[str]) -> Iterator[av.VideoFrame]:
    """Decode packet by packet, so that a damaged one costs itself only."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.FFmpegError as error:
            require_memory(error)
            errors.append(f"the container breaks off: {error.strerror}")
            return
        try:
            yield from packet.decode()
        except av.FFmpegError as error:
            require_memory(error)
            seconds = float(packet.pts * packet.time_base) if packet.pts is not None and packet.time_base else 0.0
            errors.append(f"picture damaged near {seconds:.1f} s: {error.strerror}")


def _seek_before(
    container: InputContainer, stream: VideoStream, start: Fraction, segment: Segment, sample_fps: float
) -> None:
    """Go to a key frame from which at least one sample before the segment is decoded."""
    if segment.first_slot == 0 or stream.time_base is None:
        return
    for back_s in _SEEK_BACK_S:
        # two slots more than asked: the sample before the segment must be a whole slot's first frame
        target = start + (segment.first_slot - 2) / Fraction(sample_fps) - back_s
        try:
            container.seek(floor(target / stream.time_base), stream=stream)
            first = next(frame for frame in container.decode(stream) if frame.pts is not None)
            if first.pts is not None and first.pts * stream.time_base <= target:
                container.seek(floor(target / stream.time_base), stream=stream)
                return
        except (av.FFmpegError, StopIteration):
            continue
    container.seek(0 if stream.start_time is None else stream.start_time, stream=stream)


def _sample_with_decord(path: str, sample_fps: float, segment: Segment) -> Iterator[Sample]:
    import decord  # an alternative: not loaded unless asked for

    try:
        yield from _walk_decord(decord.VideoReader(path, num_threads=1), sample_fps, segment)
    except (decord.DECORDError, RuntimeError) as error:
        message = f"decord cannot read {path}; leave out --decoder decord"
        raise VideoError(Reason.UNSUPPORTED_BY_DECODER, message, "picture") from error


def _walk_decord(reader: Any, sample_fps: float, segment: Segment) -> Iterator[Sample]:
    starts = reader.get_frame_timestamp(range(len(reader)))[:, 0]
    last_slot = -1
    context: int | None = None
    for index, ts_s in enumerate(starts - starts[0]):
        slot = slot_of(Fraction(round(float(ts_s) * 1_000_000), 1_000_000), sample_fps)
        if slot <= last_slot:
            continue
        last_slot = slot
        if segment.end_slot is not None and slot >= segment.end_slot:
            return
        if slot < segment.first_slot:
            context = index
            continue
        if context is not None:
            yield Sample(slot - 1, Frame(float(starts[context] - starts[0]), reader[context].asnumpy()), True)
            context = None
        yield Sample(slot, Frame(float(ts_s), reader[index].asnumpy()), False)
