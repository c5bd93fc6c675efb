"""Progress on a terminal, plain log lines elsewhere; always on standard error."""

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from moodreel.schemas.labels import LABELS
from moodreel.tasks.plan import VideoWork

_LABELS_TOLD = 5
_SPEED_OVER_S = 300.0  # a training pauses after each epoch to measure; the estimate has to see past that


@contextmanager
def shown(work: Sequence[VideoWork]) -> Iterator[Callable[[VideoWork], None]]:
    """Show a bar over the bytes of all videos, with an estimate; yield what to call after each video."""
    sizes = {item.file.path: max(1, item.file.stamp.size_bytes) for item in work}
    console = Console(stderr=True)
    if not console.is_terminal:
        counted = iter(range(1, len(work) + 1))
        yield lambda item: print(f"{next(counted)}/{len(work)} {item.file.path}", file=sys.stderr, flush=True)
        return
    with Progress(*_columns(), console=console) as bar:
        number = 0
        row = bar.add_task(f"0/{len(work)} videos", total=sum(sizes.values()))

        def done(item: VideoWork) -> None:
            nonlocal number
            number += 1
            name = os.path.basename(item.file.path)
            bar.update(row, advance=sizes[item.file.path], description=f"{number}/{len(work)} {name[:40]}")

        yield done


@contextmanager
def steps(name: str) -> Iterator[tuple[Callable[[int, int], None], Callable[[str], None]]]:
    """Show a bar over the steps of one long computation, with an estimate.

    Args:
        name: what stands before the bar.

    Yields:
        What to call after each step with its number, from 1, and the number of all steps; and what prints a line
        above the bar. Without a terminal there are the lines alone.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield (lambda step, num_steps: None), (lambda line: print(line, file=sys.stderr, flush=True))
        return
    with Progress(*_columns(), console=console, speed_estimate_period=_SPEED_OVER_S) as bar:
        row = bar.add_task(name, total=None)

        def done(step: int, num_steps: int) -> None:
            if bar.tasks[row].total is None:  # what an earlier run did tells nothing of this one's speed
                bar.reset(row, total=num_steps, completed=step)
            bar.update(row, completed=step)

        yield done, lambda line: bar.console.print(line, markup=False, highlight=False, soft_wrap=True)


def tell_skipped(skipped: Mapping[str, int], what: str, data: Path) -> None:
    """Say on standard error how many examples are left out for which labels: a misspelt one must not go unseen."""
    if counts := +Counter(skipped):  # without those of none
        most = counts.most_common(_LABELS_TOLD)
        told = [f"{label or 'no label'} ({count})" for label, count in most]
        told += ["..."] if len(counts) > len(most) else []
        why = f"their label is none of the seven: {', '.join(told)}"
        print(f"{data}: {counts.total()} {what} left out, {why}", file=sys.stderr)


def tell_missing(labels: NDArray[np.int64], data: Path) -> None:
    """Say on standard error over how few classes the means are, if not all seven are among the (n,) labels."""
    if missing := [label for i, label in enumerate(LABELS) if not (labels == i).any()]:
        print(f"{data} has none of {', '.join(missing)}: means over the classes are over the others", file=sys.stderr)


def _columns() -> tuple[ProgressColumn, ...]:
    return (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
    )
