"""Which files are candidates, and which demuxers may open them."""

from typing import Final

MEDIA_EXTENSIONS: Final = frozenset(
    {".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".mj2"}
    | {".mkv", ".webm", ".avi", ".divx", ".gif", ".ts", ".mts", ".m2ts"}
    | {".mpg", ".mpeg", ".mpe", ".m1v", ".m2v", ".vob"}
)
# Playlists, subtitles, text, pictures and network protocols are left out on purpose: FFmpeg opens them all.
ALLOWED_DEMUXERS: Final = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegvideo,mpegts,gif"
SNIFF_BYTES: Final = 400


def has_container_signature(head: bytes) -> bool:
    """Say whether a file's first `SNIFF_BYTES` bytes are a video container's."""
    if head[4:8] in {b"ftyp", b"moov", b"mdat", b"wide"}:
        return True
    if head.startswith(b"\x1aE\xdf\xa3") or (head.startswith(b"RIFF") and head[8:12] == b"AVI "):
        return True
    if head.startswith((b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3", b"GIF87a", b"GIF89a")):
        return True
    return len(head) > 376 and head[0] == head[188] == head[376] == 0x47  # MPEG-TS packets of 188 bytes
