"""Secret keys of a warehouse: random bytes in a file that only its owner may read."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from blake3 import blake3


def make_key(path: Path) -> None:
    """Write a key whole or not at all; of several processes that make one, the first one's stays.

    Raises:
        OSError: the folder can't be written.
    """
    if path.exists():
        return
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(blake3.key_size))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
