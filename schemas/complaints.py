"""What pydantic finds wrong with values, in words for a person."""

from collections.abc import Iterable, Mapping
from typing import Any


def in_words(errors: Iterable[Mapping[str, Any]]) -> str:
    """Return the `errors()` of a ValidationError as one line, each with the place where it is."""
    told = [(".".join(map(str, each["loc"])), each["msg"].removeprefix("Value error, ")) for each in errors]
    return "; ".join(f"{where}: {what}" if where else what for where, what in told)
