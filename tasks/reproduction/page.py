"""What a reproduction leaves in its folder beside the runs: files written whole, the page with its charts inside it."""

import base64
from collections.abc import Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Final

from moodreel.tasks.learning.checkpoint import write_whole
from moodreel.tasks.reproduction.text import TextTable

PAGE: Final = "index.html"
NUMBERS: Final = "tables.json"
MARKDOWN: Final = "tables.md"
CURVES: Final = "curves.png"
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1b2430; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
section { margin: 3rem 0 } .wide { overflow-x: auto } table { border-collapse: collapse; margin: 1rem 0 }
img { max-width: 100% } p.note { color: #5a6572; margin: .3rem 0 } td { white-space: nowrap }
th, td { padding: .25rem .8rem; text-align: right; border-bottom: 1px solid #dde2e8; vertical-align: bottom }
th:first-child, td:first-child { text-align: left }
"""


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder, each whole or not at all; none before all are there to be written.

    Args:
        folder: made if need be.
        files: contents by name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_whole(folder / name, partial(Path.write_bytes, data=content))


def as_page(title: str, told: Sequence[str], tables: Sequence[tuple[TextTable, bytes | None]]) -> str:
    """Return one HTML file that needs no other.

    Args:
        title: stands above the page.
        told: paragraphs beneath the title.
        tables: each with the PNG of its chart, None for none.
    """
    paragraphs = "".join(f"<p>{escape(text)}</p>\n" for text in told)
    sections = "\n".join(_section(table, picture) for table, picture in tables)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style></head><body>
<h1>{escape(title)}</h1>
{paragraphs}{sections}
</body></html>
"""


def _section(table: TextTable, picture: bytes | None) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.head)
    rows = "\n".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in table.rows)
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in table.notes)
    figure = ""
    if picture is not None:
        width_px = int.from_bytes(picture[16:20], "big") // 2  # drawn at twice the size, for screens of high density
        source = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
        figure = f'<img src="{source}" width="{width_px}" alt="{escape(table.title)}">'
    return (
        f'<section><h2>{escape(table.title)}</h2>\n<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>\n'
        f"{rows}\n</tbody></table></div>{notes}{figure}</section>"
    )
