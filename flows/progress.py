"""Progress on a terminal, plain log lines elsewhere; always on standard error."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from moodreel.tasks.plan import VideoWork


@contextmanager
def shown(work: Sequence[VideoWork]) -> Iterator[Callable[[VideoWork], None]]:
    """Show a bar over the bytes of all videos, with an estimate; yield what to call after each video."""
    sizes = {item.file.path: max(1, item.file.stamp.size_bytes) for item in work}
    console = Console(stderr=True)
    if not console.is_terminal:
        counted = iter(range(1, len(work) + 1))
        yield lambda item: print(f"{next(counted)}/{len(work)} {item.file.path}", file=sys.stderr, flush=True)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
    )
    with Progress(*columns, console=console) as bar:
        number = 0
        row = bar.add_task(f"0/{len(work)} videos", total=sum(sizes.values()))

        def done(item: VideoWork) -> None:
            nonlocal number
            number += 1
            name = os.path.basename(item.file.path)
            bar.update(row, advance=sizes[item.file.path], description=f"{number}/{len(work)} {name[:40]}")

        yield done
