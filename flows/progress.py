"""Progress on a terminal, plain log lines elsewhere; always on standard error."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from moodreel.schemas.labels import LABELS
from moodreel.tasks.plan import VideoWork

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


def tell_skipped(num_skipped: int, what: str, data: Path) -> None:
    """Say on standard error how many examples are left out, if there are any: a misspelt label must not go unseen."""
    if num_skipped:
        print(f"{data}: {num_skipped} {what} left out, their label is none of {', '.join(LABELS)}", file=sys.stderr)


def _columns() -> tuple[ProgressColumn, ...]:
    return (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
    )
