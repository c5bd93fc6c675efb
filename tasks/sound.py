"""The sound track as 16 kHz mono on the video's clock, streamed."""

from collections.abc import Iterator
from math import inf

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.container import InputContainer
from av.stream import Disposition
from numpy.typing import NDArray

from moodreel.schemas.config import SAMPLE_RATE_HZ
from moodreel.tasks.container import JUMP_S, choose_picture, mark_leaps, open_video, picture_start_s, require_memory

Samples = NDArray[np.float32]
_GAP_S = 0.05  # smaller jumps of the clock are rounding
_FRAMES_OF_A_STAMP = 64  # more than a packet of any container holds
_LONGEST_GAP_S = 3600.0  # a larger one is a damaged time stamp, not silence


def has_sound(path: str) -> bool:
    """Say whether there is an audio stream at all."""
    with open_video(path, "sound") as container:
        return bool(container.streams.audio)


def stream_sound(path: str, errors: list[str]) -> Iterator[Samples]:
    """Yield (n,) float32 pieces of the sound, in order and without gaps, beginning at the first frame's time.

    Sound before the first frame is left out, a late start and gaps become zeros, so sample i is heard i / 16000 s
    after the picture begins. Any codec, rate and number of channels; channels are averaged as FFmpeg mixes them down.

    Args:
        path: a video with an audio stream.
        errors: gets a line for every part that could not be decoded, behind which decoding goes on, for a time stamp
            that is no frame's, and one where the clock jumps back, behind which nothing is heard until it caught up.

    Raises:
        VideoError: what `open_video` raises.
    """
    with open_video(path, "sound") as container:
        start_s = float(picture_start_s(container, choose_picture(container, path)))
        resampler = AudioResampler("flt", "mono", SAMPLE_RATE_HZ)
        position = 0  # of the next sample on the video's clock
        newest_s = -inf
        has_jumped = is_behind = False
        for frame, is_leap in mark_leaps(_decode(container, errors), _FRAMES_OF_A_STAMP):
            if frame.time is not None and is_leap:
                errors.append(f"a time stamp leaps to {frame.time - start_s:.1f} s: its sound stays where it was")
            elif frame.time is not None:
                is_behind = frame.time < newest_s - (0 if is_behind else JUMP_S)  # as where recordings were joined
                if is_behind and not has_jumped:
                    has_jumped = True
                    told = f"the clock jumps back from {newest_s - start_s:.1f} to {frame.time - start_s:.1f} s"
                    errors.append(f"{told}: the sound behind that is left out")
                if is_behind:
                    continue
                newest_s = max(newest_s, frame.time)
                ahead_s = frame.time - start_s - position / SAMPLE_RATE_HZ
                if _GAP_S < ahead_s < _LONGEST_GAP_S:
                    yield np.zeros(round(ahead_s * SAMPLE_RATE_HZ), np.float32)
                    position += round(ahead_s * SAMPLE_RATE_HZ)
            early = 0 if frame.time is None or position else max(0, round((start_s - frame.time) * SAMPLE_RATE_HZ))
            try:
                piece = _mono(resampler, frame)
            except ValueError:  # the stream changed its rate or channels
                resampler = AudioResampler("flt", "mono", SAMPLE_RATE_HZ)
                try:
                    piece = _mono(resampler, frame)
                except (ValueError, av.FFmpegError) as error:
                    errors.append(f"sound that can't be resampled: {error}")
                    continue
            piece = piece[early:]
            position += len(piece)
            yield piece
        yield _mono(resampler, None)


def _mono(resampler: AudioResampler, frame: AudioFrame | None) -> Samples:
    pieces = [piece.to_ndarray()[0] for piece in resampler.resample(frame)]
    # decoders overshoot full scale; openSMILE takes 16 bit inside and would wrap around
    return np.concatenate(pieces).clip(-1, 1) if pieces else np.zeros(0, np.float32)


def _decode(container: InputContainer, errors: list[str]) -> Iterator[AudioFrame]:
    """Decode packet by packet, so that a damaged one costs itself only."""
    streams = container.streams.audio
    stream = next((one for one in streams if one.disposition & Disposition.default), streams[0])
    if stream.codec_context is None:
        errors.append("there is no decoder for the sound")
        return
    stream.codec_context.thread_count = 1
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
            yield from (frame for frame in packet.decode() if isinstance(frame, AudioFrame))
        except av.FFmpegError as error:
            require_memory(error)
            seconds = float(packet.pts * packet.time_base) if packet.pts is not None and packet.time_base else 0.0
            errors.append(f"sound damaged near {seconds:.1f} s: {error.strerror}")
