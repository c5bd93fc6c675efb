"""What an input size of Inception-ResNet-v2 costs, in learning and in use; 75 px is the least that it takes."""

import os
import tempfile
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table

from moodreel.models.inference import BATCH, load_classifier
from moodreel.models.networks import build_network
from moodreel.models.registry import read_manifest
from moodreel.schemas.manifest import Manifest
from moodreel.tasks.learning.machine import autocast, keep_freed_memory

NAME, SIZES_PX, LEARNT_AT_ONCE, TIMES = "inception-resnet-v2", (75, 96, 128, 160), 32, 3


def seconds_of(work: Callable[[], object]) -> float:
    """Return the median of a few times, after one that is not counted."""
    work()
    taken = []
    for _ in range(TIMES):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return sorted(taken)[TIMES // 2]


def learnt_a_second(side_px: int) -> float:
    """Return pictures a second of whole training steps, on all threads."""
    network = build_network(NAME).train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)
    images = torch.randn(LEARNT_AT_ONCE, 3, side_px, side_px).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(LEARNT_AT_ONCE) % 7

    def step() -> None:
        with autocast("bf16", torch.device("cpu")):
            loss = F.cross_entropy(network(images).float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return LEARNT_AT_ONCE / seconds_of(step)


def classified_a_second(side_px: int) -> float:
    """Return faces a second as a run classifies them, on one thread."""
    manifest = read_manifest(NAME)
    sized = Manifest.model_validate(
        {**manifest.model_dump(), "input": {**manifest.input.model_dump(), "side_px": side_px}}
    )
    run = load_classifier(sized, "openvino")
    faces = np.random.default_rng(0).normal(size=(BATCH, 3, side_px, side_px)).astype(np.float32)
    return BATCH / seconds_of(lambda: run(faces))


def main() -> None:
    """Print a row for each size."""
    keep_freed_memory()
    table = Table("px", "pictures learnt a second", "faces classified a second, one thread")
    with tempfile.TemporaryDirectory() as cache:  # each size is a network of its own there
        os.environ["XDG_CACHE_HOME"] = cache
        for side_px in SIZES_PX:
            table.add_row(str(side_px), f"{learnt_a_second(side_px):.1f}", f"{classified_a_second(side_px):.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
