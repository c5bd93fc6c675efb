"""Clips with any sound tracks beside a picture that stays what it was, packet by packet."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray


@dataclass(frozen=True)
class Track:
    """(channels, n) float32 sound and how it is coded; a rubble one has packets that nobody can decode."""

    samples: NDArray[np.float32]
    rate: int = 16_000
    layout: str = "mono"
    codec: str = "aac"
    is_default: bool = True
    is_rubble: bool = False


def with_tracks(picture: Path, path: Path, *tracks: Track) -> Path:
    """Copy a clip's picture and add sound tracks; the container is that of the new name."""
    with av.open(str(picture)) as source, av.open(str(path), "w") as out:
        shown = out.add_stream_from_template(source.streams.video[0])
        streams = [out.add_stream(track.codec, rate=track.rate, layout=track.layout) for track in tracks]
        for stream, track in zip(streams, tracks, strict=True):
            stream.disposition = Disposition.default if track.is_default else Disposition(0)
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = shown
                out.mux(packet)
        for stream, track in zip(streams, tracks, strict=True):
            for packet in _packets(stream, track):
                if track.is_rubble:
                    rubble = av.Packet(b"\x12\x34\x56")
                    rubble.pts, rubble.dts, rubble.time_base = packet.pts, packet.dts, packet.time_base
                    rubble.stream = stream
                    packet = rubble
                out.mux(packet)
    return path


def _packets(stream: av.AudioStream, track: Track) -> list[av.Packet]:
    context = stream.codec_context
    frame_size = context.frame_size or 1024
    resampler = av.AudioResampler(stream.format.name, track.layout, track.rate, frame_size=frame_size)
    sound = av.AudioFrame.from_ndarray(np.ascontiguousarray(track.samples), format="fltp", layout=track.layout)
    sound.sample_rate, sound.pts, sound.time_base = track.rate, 0, Fraction(1, track.rate)
    packets = []
    for piece in (sound, None):
        for ready in resampler.resample(piece):
            packets += stream.encode(ready)
    return packets + stream.encode()
