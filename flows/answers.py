"""What commands print: answers, models, the closing table."""

import json
import math
import os
import sys
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Final, TextIO

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from moodreel.flows.night import RunSummary
from moodreel.models.card import card
from moodreel.models.registry import DEFAULTS, REGISTERED, read_manifest, registered
from moodreel.schemas.purposes import stated_purpose
from moodreel.warehouse.ask import TIMEOUT_S, Answer, answering
from moodreel.warehouse.audit import Action, record_access

_ROW_GROUP_BYTES: Final = 32 * 2**20


def write_answer(
    warehouse: Path, query: str, format: str | None, output: Path | None, timeout_s: float = TIMEOUT_S
) -> None:
    """Answer a query on standard output or in a file, batch by batch, and record who read.

    Args:
        warehouse: the folder of the tables.
        query: one SELECT.
        format: table, csv, json or parquet; None is a table, or what the file's ending says.
        output: the file; None prints.
        timeout_s: how long the query may take.

    Raises:
        ValueError: the format and the file don't fit, the file can't be there, or the query is refused.
    """
    if output and output.resolve().is_relative_to(warehouse.resolve()):
        raise ValueError(f"{output} would lie among the tables in {warehouse}: name a file elsewhere")
    format = _format_for(format, output)
    if output and not output.parent.is_dir():
        raise ValueError(f"{output.parent} is no folder: name a file in one that is there")
    action: Action = "export" if output else "read"
    with answering(warehouse, query, timeout_s) as answer:
        # before the first row leaves: a reading that is cut off is one too
        entry = record_access(warehouse, action, purpose=stated_purpose(), detail=query)
        num_rows = _write_file(answer, format, output) if output else _print(answer, format)
    if entry is not None:
        record_access(warehouse, action, purpose=stated_purpose(), detail=query, num_rows=num_rows, follows=entry)


def _format_for(format: str | None, output: Path | None) -> str:
    if output is None:
        if format == "parquet":
            raise ValueError("--format parquet needs -o FILE")
        return format or "table"
    found = format or output.suffix.lower().removeprefix(".")
    if found not in ("csv", "json", "parquet"):
        raise ValueError(f"{output} can be csv, json or parquet: say so by its ending or by --format")
    return found


def show_models(as_json: bool) -> None:
    """Print every registered model with its accuracy and licence, the user's own ones marked as such."""
    manifests = [read_manifest(name) for name in registered()]
    if as_json:
        rows = [
            {**each.model_dump(mode="json"), "model_id": each.model_id, "is_own": each.name not in REGISTERED}
            for each in manifests
        ]
        print(json.dumps({"models": rows}))
        return
    console = Console(markup=False)  # a user's manifest may hold [brackets]
    for manifest in manifests:
        default = ", used by default" if manifest.name in DEFAULTS[manifest.task] else ""
        own = "" if manifest.name in REGISTERED else ", your own"
        measured = ", ".join(f"{name} {value:.4f}" for name, value in manifest.metrics.items()) or "nothing"
        console.print(manifest.name, style="bold", end=" ")
        console.print(f"version {manifest.version} ({manifest.task}{default}{own})")
        console.print(f"  measured    {measured}\n              by {manifest.measured_with}", soft_wrap=True)
        if manifest.num_features:
            console.print(f"  features    {manifest.num_features} a face, stored by run --features")
        console.print(f"  licence     {manifest.licence}", soft_wrap=True)
        console.print(f"  trained on  {manifest.trained_on}\n", soft_wrap=True)
    console.print("The sound features come from openSMILE, which is free for research but not for commercial use.")


def write_cards(folder: Path) -> None:
    """Write every shipped model's card as NAME.md."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in REGISTERED:
        temporary = folder / f"{name}.md.tmp"
        temporary.write_text(card(read_manifest(name)), encoding="utf-8")
        os.replace(temporary, folder / f"{name}.md")


def show_closing_table(summary: RunSummary, rows: list[dict[str, object]], failures: dict[str, str]) -> None:
    """Print a row for each video of the run, the failures, and the sums."""
    console = Console(markup=False)  # a file's name may hold [brackets]
    if rows:
        table = Table(
            *("video", "people", "dominant emotion", "share", "voice", "face and voice", "seconds"),
            caption=f"faces by {rows[0]['model']}",
        )
        for row in rows:
            share = "" if row["share"] is None else f"{row['share']:.0%}"
            emotion = str(row["dominant_emotion"] or "no face")
            name = os.path.basename(str(row["path"]))
            heard, verdict = str(row["voice"] or ""), str(row["verdict"] or "")
            table.add_row(name, str(row["people"]), emotion, share, heard, verdict, f"{row['seconds']:.1f}")
        console.print(table)
    for path, message in failures.items():
        console.print(f"failed: {os.path.basename(path)}: {message}", markup=False, soft_wrap=True)
    counts = summary.counts
    console.print(
        f"{counts.num_videos} videos: {counts.num_analysed} analysed, {counts.num_skipped} nothing to do, "
        f"{counts.num_failed} failed; {counts.num_ignored} other files ignored; "
        f"{summary.video_seconds:.0f} s of video in {summary.seconds:.1f} s"
    )


def show_rerun(summary: RunSummary) -> None:
    """Print the sums of a rerun."""
    counts = summary.counts
    print(
        f"{counts.num_videos} videos: {counts.num_analysed} classified, {counts.num_skipped} nothing to do, "
        f"{counts.num_failed} failed, in {summary.seconds:.1f} s"
    )


def _write_file(answer: Answer, format: str, path: Path) -> int:
    """Write all rows beside `path` and only then give them its name."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if format == "parquet":
            num_rows = _write_parquet(answer, temporary)
        else:
            with temporary.open("w", encoding="utf-8", newline="") as text:
                num_rows = _write_json(answer, text) if format == "json" else _write_csv(answer, text)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return num_rows


def _print(answer: Answer, format: str) -> int:
    if format == "json":
        return _write_json(answer, sys.stdout)
    if format == "csv":
        return _write_csv(answer, sys.stdout)
    table, num_rows = Table(*answer.schema.names), 0
    for row in _rows(answer):
        table.add_row(*["" if value is None else _short(value) for value in row])
        num_rows += 1
    Console(soft_wrap=not sys.stdout.isatty()).print(table, markup=False)
    return num_rows


def _write_parquet(answer: Answer, path: Path) -> int:
    """Write row groups of some size: each batch as one would make a file that is slow to read."""
    from pyarrow import parquet

    _refuse_twins(answer)
    num_rows, held = 0, list[pa.RecordBatch]()
    with parquet.ParquetWriter(path, answer.schema) as writer:
        for batch in answer.batches:
            held.append(batch)
            num_rows += batch.num_rows
            if sum(part.nbytes for part in held) > _ROW_GROUP_BYTES:
                writer.write_table(pa.Table.from_batches(held))
                held.clear()
        if held:
            writer.write_table(pa.Table.from_batches(held))
    return num_rows


def _write_json(answer: Answer, text: TextIO) -> int:
    _refuse_twins(answer)
    num_rows = 0
    for row in _rows(answer):
        text.write("[" if num_rows == 0 else ", ")
        named = _finite(dict(zip(answer.schema.names, row, strict=True)))
        text.write(json.dumps(named, default=_json_value, ensure_ascii=False, allow_nan=False))
        num_rows += 1
    text.write("]\n" if num_rows else "[]\n")
    return num_rows


def _write_csv(answer: Answer, text: TextIO) -> int:
    import csv

    writer, num_rows = csv.writer(text, lineterminator="\n"), 0
    writer.writerow(answer.schema.names)
    for row in _rows(answer):
        writer.writerow(row)
        num_rows += 1
    return num_rows


def _rows(answer: Answer) -> Iterator[tuple[object, ...]]:
    """Yield each row's values in the order of the columns, whose names need not differ."""
    for batch in answer.batches:
        yield from zip(*(column.to_pylist(maps_as_pydicts="strict") for column in batch.columns), strict=True)


def _refuse_twins(answer: Answer) -> None:
    names = answer.schema.names
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two columns are named {name}: give one another name with AS")


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _finite(value: object) -> object:
    """Return a value with NULL for what JSON has no number for: infinity, and what is not a number."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {key: _finite(one) for key, one in value.items()}
        case list():
            return [_finite(one) for one in value]
    return value


def _json_value(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Decimal):  # also what DuckDB's sum of integers is
        return int(value) if value.as_tuple().exponent == 0 else float(value)
    return str(value)
