"""MPEG transport streams whose clock lies."""

from pathlib import Path
from typing import Final

PICTURE, SOUND = b"\xe0", b"\xc0"  # ids of the elementary streams
_PACKET: Final = 188
_HZ: Final = 90_000


def shift_stamp(path: Path, stream: bytes, number: int, seconds: int) -> None:
    """Add to the presentation time, and the decoding time if there is one, of a stream's packet of that number."""
    data = bytearray(path.read_bytes())
    found = [data.find(b"\0\0\1" + stream, at, at + _PACKET) for at in range(0, len(data), _PACKET)]
    header = [at for at in found if at >= 0][number]
    for place in range({0x80: 1, 0xC0: 2}[data[header + 7] & 0xC0]):
        field = data[header + 9 + 5 * place : header + 14 + 5 * place]
        ticks = (field[0] >> 1 & 7) << 30 | field[1] << 22 | (field[2] >> 1) << 15 | field[3] << 7 | field[4] >> 1
        ticks += seconds * _HZ
        data[header + 9 + 5 * place : header + 14 + 5 * place] = bytes(
            (
                field[0] & 0xF1 | (ticks >> 30 & 7) << 1,
                ticks >> 22 & 0xFF,
                (ticks >> 15 & 0x7F) << 1 | 1,
                ticks >> 7 & 0xFF,
                (ticks & 0x7F) << 1 | 1,
            )
        )
    path.write_bytes(data)
