"""What commands print: answers, models, the closing table."""

import json
import os
import sys
from datetime import datetime
from pathlib import Path

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from moodreel.flows.night import RunSummary
from moodreel.models.card import card
from moodreel.models.registry import DEFAULTS, REGISTERED, read_manifest


def write_answer(answer: pa.Table, format: str, output: Path | None) -> None:
    """Print an answer, or write it whole to a file.

    Raises:
        ValueError: Parquet is asked for without a file.
    """
    if format == "parquet":
        if output is None:
            raise ValueError("--format parquet needs -o FILE")
        from pyarrow import parquet

        temporary = output.with_name(output.name + ".tmp")
        parquet.write_table(answer, temporary)
        os.replace(temporary, output)
        return
    if format == "table" and output is None:
        _print_table(answer)
        return
    text = _as_json(answer) if format == "json" else _as_csv(answer)
    if output is None:
        sys.stdout.write(text)
        return
    temporary = output.with_name(output.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, output)


def show_models(as_json: bool) -> None:
    """Print every registered model with its accuracy and licence."""
    manifests = [read_manifest(name) for name in REGISTERED]
    if as_json:
        print(
            json.dumps([manifest.model_dump(mode="json") | {"model_id": manifest.model_id} for manifest in manifests])
        )
        return
    console = Console()
    for manifest in manifests:
        default = ", used by default" if manifest.name in DEFAULTS[manifest.task] else ""
        measured = ", ".join(f"{name} {value:.4f}" for name, value in manifest.metrics.items())
        console.print(f"[bold]{manifest.name}[/bold] version {manifest.version} ({manifest.task}{default})")
        console.print(f"  measured    {measured}\n              by {manifest.measured_with}", soft_wrap=True)
        if manifest.num_features:
            console.print(f"  features    {manifest.num_features} a face, stored by run --features")
        console.print(f"  licence     {manifest.licence}", soft_wrap=True)
        console.print(f"  trained on  {manifest.trained_on}\n", soft_wrap=True)
    console.print("The sound features come from openSMILE, which is free for research but not for commercial use.")


def write_cards(folder: Path) -> None:
    """Write every registered model's card as NAME.md."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in REGISTERED:
        temporary = folder / f"{name}.md.tmp"
        temporary.write_text(card(read_manifest(name)), encoding="utf-8")
        os.replace(temporary, folder / f"{name}.md")


def show_closing_table(summary: RunSummary, rows: list[dict[str, object]], failures: dict[str, str]) -> None:
    """Print a row for each video of the run, the failures, and the sums."""
    console = Console()
    if rows:
        table = Table("video", "people", "dominant emotion", "share", "seconds", caption=f"by {rows[0]['model']}")
        for row in rows:
            share = "" if row["share"] is None else f"{row['share']:.0%}"
            emotion = str(row["dominant_emotion"] or "no face")
            name = os.path.basename(str(row["path"]))
            table.add_row(name, str(row["people"]), emotion, share, f"{row['seconds']:.1f}")
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


def _print_table(answer: pa.Table) -> None:
    table = Table(*answer.schema.names)
    for row in answer.to_pylist():
        table.add_row(*["" if value is None else _short(value) for value in row.values()])
    Console(soft_wrap=not sys.stdout.isatty()).print(table, markup=False)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _as_json(answer: pa.Table) -> str:
    return json.dumps(answer.to_pylist(), default=_json_value, ensure_ascii=False) + "\n"


def _json_value(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def _as_csv(answer: pa.Table) -> str:
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(answer.schema.names)
    writer.writerows(row.values() for row in answer.to_pylist())
    return text.getvalue()
