"""Open a video file safely and read what its container says."""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Final, TypeVar

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from moodreel.schemas.config import Isolation
from moodreel.schemas.media import ALLOWED_DEMUXERS
from moodreel.schemas.reasons import Reason, VideoError
from moodreel.schemas.values import VideoInfo
from moodreel.tasks.files import WatchedFile, told_error

JUMP_S: Final = 1  # of a clock; less is a container's rounding
_LOOK_S: Final = 300.0  # for joined recordings, in a very large file or on a slow share
_ROOM_BYTES: Final = 64 * 2**20
_RESTARTING: Final = frozenset({"mpegts", "mpeg"})  # demuxers of formats that are joined as they are, clock and all
_Frame = TypeVar("_Frame", av.VideoFrame, av.AudioFrame)


@contextmanager
def open_video(path: str, stage: str) -> Iterator[InputContainer]:
    """Open a local file with one of the allowed demuxers, one decoding thread.

    An error of the disk or share while the video is read is raised at the end, whatever FFmpeg took it for; so is
    Ctrl-C.

    Raises:
        VideoError: EMPTY_FILE, NOT_A_VIDEO, VANISHED, PERMISSION_DENIED or READ_ERROR.
    """
    try:
        is_empty = os.stat(path).st_size == 0
        file = WatchedFile(path)
    except OSError as error:
        raise told_error(path, error, stage) from error
    with file:
        if is_empty:
            raise VideoError(Reason.EMPTY_FILE, f"{path} has no bytes", stage)
        try:
            with _open_container(file, path, stage) as container:
                yield container
        except (VideoError, av.FFmpegError) as error:
            if file.error is not None:
                raise _cause(file.error, path, stage) from error
            raise
        if file.error is not None:
            raise _cause(file.error, path, stage)


def _open_container(file: WatchedFile, path: str, stage: str) -> InputContainer:
    # an open file, since a name such as concat:x.mp4 would be read as a protocol; content can name none but files
    options = {"protocol_whitelist": "file", "format_whitelist": ALLOWED_DEMUXERS}
    try:
        return av.open(file, mode="r", options=options, metadata_errors="replace")
    except (av.FFmpegError, ValueError) as error:
        require_memory(error)
        message = f"{path} cannot be opened: not a video container that is read here, or a damaged one"
        raise VideoError(Reason.NOT_A_VIDEO, message, stage) from error


def _cause(error: BaseException, path: str, stage: str) -> BaseException:
    return told_error(path, error, stage) if isinstance(error, OSError) else error


def probe_video(path: str, limits: Isolation | None = None) -> VideoInfo:
    """Read streams, size, duration, rotation and codecs.

    Args:
        path: the file.
        limits: of pixels and streams, tested before anything is decoded.

    Raises:
        VideoError: NO_VIDEO_STREAM, NO_FRAMES, OVER_LIMITS, OUT_OF_MEMORY, or what `open_video` raises.
    """
    try:
        with open_video(path, "probe") as container:
            return _probe(container, path, limits)
    except MemoryError as error:
        raise VideoError(Reason.OUT_OF_MEMORY, f"{path}: the worker ran out of memory", "probe") from error


def _probe(container: InputContainer, path: str, limits: Isolation | None) -> VideoInfo:
    stream = choose_picture(container, path)
    if limits:
        _check_size(container, stream, path, limits)
    frame = _first_frame(container, stream, path)
    rotation = frame.rotation % 360
    turned = rotation in (90, 270)
    audio = container.streams.audio
    duration = container.duration
    if duration and _clock_restarts(container, stream):
        duration = None
    return VideoInfo(
        duration_s=duration / av.time_base if duration else None,
        fps=float(stream.average_rate) if stream.average_rate else None,
        width=frame.height if turned else frame.width,
        height=frame.width if turned else frame.height,
        video_codec=stream.codec_context.codec.canonical_name,
        audio_codec=_codec_name(audio[0]) if audio else None,
        rotation_deg=rotation,
    )


def choose_picture(container: InputContainer, path: str) -> VideoStream:
    """Return the stream that a player would show: the default one, or the first; never a cover picture.

    Raises:
        VideoError: NO_VIDEO_STREAM.
    """
    moving = [
        stream
        for stream in container.streams.video
        if not stream.disposition & Disposition.attached_pic and stream.codec_context is not None
    ]
    if not moving:
        raise VideoError(Reason.NO_VIDEO_STREAM, f"{path} holds no moving picture that can be decoded", "probe")
    default = [stream for stream in moving if stream.disposition & Disposition.default]
    return (default or moving)[0]


def picture_start_s(container: InputContainer, stream: VideoStream) -> Fraction:
    """Return the first frame's presentation time on the container's clock: zero of the video's own clock."""
    if stream.start_time is not None and stream.time_base is not None:
        return stream.start_time * stream.time_base
    return Fraction(container.start_time or 0, av.time_base)


def require_memory(error: Exception) -> None:
    """Tell a lack of memory from the absurd sizes in a damaged file, of which FFmpeg says the same.

    Raises:
        MemoryError: there is none left.
    """
    if isinstance(error, MemoryError):
        bytearray(_ROOM_BYTES)


def mark_leaps(frames: Iterable[_Frame], most: int) -> Iterator[tuple[_Frame, bool]]:
    """Yield frames, each with whether its time stamp is no frame's: it leaps ahead, and the clock goes on from before.

    Args:
        frames: as decoded.
        most: how many frames one wrong stamp in the container may mislead; so many are held back behind a leap.
    """
    before_s: float | None = None
    held: list[_Frame] = []
    for frame in frames:
        time_s = frame.time
        if held:
            leap_s = held[0].time
            if (
                before_s is not None
                and leap_s is not None
                and time_s is not None
                and before_s <= time_s < leap_s - JUMP_S
            ):
                yield from ((one, True) for one in held)
                held.clear()
            elif len(held) == most:
                yield from ((one, False) for one in held)
                before_s = next((one.time for one in reversed(held) if one.time is not None), before_s)
                held.clear()
        if held or (before_s is not None and time_s is not None and time_s > before_s + JUMP_S):
            held.append(frame)
            continue
        yield frame, False
        before_s = before_s if time_s is None else time_s
    yield from ((one, False) for one in held)


def _clock_restarts(container: InputContainer, stream: VideoStream) -> bool:
    """Say whether recordings were joined with their clocks: then no time leads to one place, and none is the end.

    Reads the packets up to the end, or for some minutes: what lies behind is taken for one recording.
    """
    if container.format.name not in _RESTARTING or stream.time_base is None:
        return False
    started = time.monotonic()
    older: int | None = None
    newest: int | None = None
    try:
        for packet in container.demux(stream):
            if time.monotonic() - started > _LOOK_S:
                break
            if packet.dts is None:
                continue
            if newest is None or (newest - packet.dts) * stream.time_base <= JUMP_S:
                older = newest
            elif older is None or packet.dts < older:
                return True
            newest = packet.dts  # else the one before leapt ahead, alone
    except av.FFmpegError as error:  # where it breaks off is found when it is decoded
        require_memory(error)
    return False


def _check_size(container: InputContainer, stream: VideoStream, path: str, limits: Isolation) -> None:
    num_streams = len(container.streams)
    if num_streams > limits.max_streams:
        message = f"{path}: {num_streams} streams, limit {limits.max_streams}"
        raise VideoError(Reason.OVER_LIMITS, message, "probe")
    num_pixels = stream.codec_context.width * stream.codec_context.height
    if num_pixels > limits.max_pixels:
        message = f"{path}: {num_pixels} pixels a frame, limit {limits.max_pixels}"
        raise VideoError(Reason.OVER_LIMITS, message, "probe")


def _codec_name(stream: AudioStream) -> str:
    return stream.codec_context.codec.canonical_name if stream.codec_context else "unknown"


def _first_frame(container: InputContainer, stream: VideoStream, path: str) -> av.VideoFrame:
    stream.thread_count = 1
    errors = 0
    for packet in container.demux(stream):
        try:
            for frame in packet.decode():
                return frame
        except av.FFmpegError as error:
            require_memory(error)
            errors += 1
            if errors > 1000:  # a stream that never decodes must not be read to its end here
                break
    raise VideoError(Reason.NO_FRAMES, f"{path}: no frame of its picture can be decoded", "probe")
