"""Warehouses that keep their things elsewhere."""

from pathlib import Path


def name_storage(folder: Path, *, catalog: str | None = None, data: str | None = None, endpoint: str = "") -> Path:
    """Write a new warehouse's storage.toml; return its folder.

    Args:
        folder: the warehouse.
        catalog: the words that connect to a PostgreSQL database.
        data: the place of the data files.
        endpoint: where the bucket of `data` is served.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f'catalog = "postgres:{catalog}"'] * bool(catalog) + [f'data = "{data}"'] * bool(data)
    lines += ["[s3]", f'endpoint = "{endpoint}"', 'url_style = "path"'] * bool(endpoint)
    (folder / "storage.toml").write_text("\n".join(lines) + "\n")
    return folder
