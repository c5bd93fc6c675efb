"""Where a warehouse keeps its catalog and its data files: in its own folder, or where `storage.toml` there says."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FILE: Final = "storage.toml"
_POSTGRES: Final = "postgres:"
_URL_STYLES: Final = ("vhost", "path")


class WarehouseError(ValueError):
    """The warehouse can't be used as asked; the message says what to do."""


class CatalogLostError(WarehouseError):
    """The catalog does not answer, or stays locked, for longer than anybody waits: no mistake of a user's."""


@dataclass(frozen=True, slots=True)
class S3:
    """How a bucket is reached, apart from the keys, which are the environment's.

    Attributes:
        endpoint: host and port; None for Amazon's own.
        region: the bucket's region; None for the default one.
        url_style: whether the bucket is part of the host's name (vhost) or of the path.
        is_encrypted: whether the endpoint speaks TLS.
    """

    endpoint: str | None = None
    region: str | None = None
    url_style: str = "vhost"
    is_encrypted: bool = True


@dataclass(frozen=True, slots=True)
class Storage:
    """A warehouse's places.

    Attributes:
        folder: the warehouse's folder, absolute.
        data: where the data files lie, a folder or s3://bucket/prefix, with a slash at the end.
        postgres: the words that connect to the catalog's database; None for catalog.sqlite in the folder.
        s3: how to reach the bucket of `data`; None for a folder.
    """

    folder: Path
    data: str
    postgres: str | None = None
    s3: S3 | None = None


def read_storage(folder: Path) -> Storage:
    """Return where the warehouse in a folder keeps its things.

    Raises:
        WarehouseError: storage.toml is not as docs/storage.md has it.
    """
    folder = folder.resolve()
    file = folder / FILE
    try:
        said = tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return Storage(folder, f"{folder / 'data'}/")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise WarehouseError(f"{file} can't be read: {error}") from error
    try:
        _check(said, {"catalog": str, "data": str, "s3": dict})
        data = said.get("data", f"{folder / 'data'}/")
        return Storage(folder, *_places(data, said.get("catalog"), said.get("s3")))
    except ValueError as error:
        raise WarehouseError(f"{file}: {error}") from error


def _places(data: str, catalog: str | None, s3: Mapping[str, Any] | None) -> tuple[str, str | None, S3 | None]:
    where = data if data.endswith("/") else f"{data}/"
    is_bucket = bool(re.fullmatch(r"s3://[^/*?\[\]]+/([^*?\[\]]+/)?", where))
    if not is_bucket and not Path(data).is_absolute():
        raise ValueError(f"data is {data!r}: give s3://BUCKET/PREFIX/ without *, ?, [ and ], or an absolute folder")
    if s3 is not None and not is_bucket:
        raise ValueError("[s3] is there but data is no bucket: set data to s3://BUCKET/PREFIX/ or remove [s3]")
    return where, None if catalog is None else _postgres(catalog), _s3(s3 or {}) if is_bucket else None


def _postgres(catalog: str) -> str:
    words = catalog.removeprefix(_POSTGRES).strip()
    if re.search(r"\bpassword\s*=|:[^:/]*@", words):  # which no message may repeat
        raise ValueError("catalog holds a password: put it into ~/.pgpass, or give PGPASSFILE or PGPASSWORD")
    if not catalog.startswith(_POSTGRES) or not re.search(r"\bdbname\s*=", words) or "://" in words:
        raise ValueError(f"catalog is {catalog!r}: give 'postgres:dbname=NAME host=HOST user=USER'")
    return words


def _s3(said: Mapping[str, Any]) -> S3:
    _check(said, {"endpoint": str, "region": str, "url_style": str})
    endpoint, url_style = said.get("endpoint"), said.get("url_style", "vhost")
    if endpoint is not None and not re.fullmatch(r"https?://[^/]+", endpoint):
        raise ValueError(f"endpoint is {endpoint!r}: give https://HOST:PORT")
    if url_style not in _URL_STYLES:
        raise ValueError(f"url_style is {url_style!r}: give one of {', '.join(_URL_STYLES)}")
    scheme, _, host = (endpoint or "https://").partition("://")
    return S3(host or None, said.get("region"), url_style, scheme == "https")


def _check(said: Mapping[str, Any], kinds: Mapping[str, type]) -> None:
    for name, value in said.items():
        if name not in kinds:
            raise ValueError(f"{name} is unknown: the keys are {', '.join(kinds)}")
        if not isinstance(value, kinds[name]):
            raise ValueError(f"{name} is {value!r}: a {'table' if kinds[name] is dict else 'text'} is wanted")
