"""`moodreel reproduce`: the GAN-SGDMA paper's comparisons, trained and measured here, beside what it claims."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from moodreel.flows import progress
from moodreel.flows.training_record import only_training_in
from moodreel.schemas.training import OptimizerName, TrainingConfig
from moodreel.tasks.learning.examples import FaceExamples
from moodreel.tasks.learning.identity import RunIdentity, digest_faces, identify_run, write_identity
from moodreel.tasks.learning.labelled import LabelledFaces, read_labelled_faces, refuse_missing_classes
from moodreel.tasks.learning.train import METRICS, EpochMetrics, Trained, train_classifier
from moodreel.tasks.reproduction import budget, optimizers
from moodreel.tasks.reproduction.budget import comparison_config, draw_faces, hold_out
from moodreel.tasks.reproduction.charts import draw_optimizers, draw_table, to_png
from moodreel.tasks.reproduction.claims import METHODS, OURS
from moodreel.tasks.reproduction.measures import measure_network
from moodreel.tasks.reproduction.optimizers import Race, optimizer_config, races_as_text
from moodreel.tasks.reproduction.page import CURVES, MARKDOWN, NUMBERS, PAGE, as_page, write_files
from moodreel.tasks.reproduction.tables import (
    build_contests,
    build_tables,
    describe_networks,
    summarise_denoising,
)
from moodreel.tasks.reproduction.text import (
    TextTable,
    as_markdown,
    as_text,
    contests_as_text,
    denoising_as_text,
    networks_as_text,
)

_FILE_COLUMNS = 160  # where no terminal says how wide it is


def reproduce_comparison(data: Path, out: Path, *, num_epochs: int | None, resume: bool) -> None:
    """Train the paper's six methods on the same budget, and fill its six tables in `out`.

    Raises:
        ValueError: the data can't be used, `out` holds runs already and `resume` is off, or other runs, or another
            process trains there.
        FloatingPointError: a network diverged; its folder keeps its last whole epoch.
    """
    num_epochs = num_epochs or budget.NUM_EPOCHS
    train, test = read_labelled_faces(data, "train"), read_labelled_faces(data, "public_test")
    progress.tell_skipped(train.skipped, "training pictures", data)
    progress.tell_skipped(test.skipped, "test pictures", data)
    learning, held_out = hold_out(train)
    refuse_missing_classes(learning.labels, data)
    configs = {name: comparison_config(name, num_epochs) for name in METHODS}
    runs = _identify(out, configs, digest_faces(learning, held_out), resume)
    measured = {}
    for name, identity in runs.items():
        trained = _train(name, identity, learning, held_out, out)
        print(f"{METHODS[name]}: measuring on {len(test.labels)} faces", file=sys.stderr, flush=True)
        measured[name] = measure_network(trained, identity.config, test)

    n = len(test.labels)
    tables, contests = build_tables(measured, test), build_contests(measured, test)
    networks, levels = describe_networks(measured, test), summarise_denoising(measured)
    told = [
        f"Six networks of one budget: {num_epochs} epochs over {len(learning.labels):,} training faces of {data.name}, "
        f"batches of {configs[OURS].batch_size}, the same augmentation and seed, no teachers; {len(held_out.labels):,} "
        f"more training faces chose each network's best epoch. All figures are those of the split public_test, "
        f"{n:,} faces, which played no part until then.",
    ]
    rows = [(as_text(table), to_png(draw_table(table))) for table in tables]
    others = [contests_as_text(contests, n), networks_as_text(networks, n), denoising_as_text(levels)]
    numbers = {
        "data": data.name,
        "num_learning": len(learning.labels),
        "num_held_out": len(held_out.labels),
        "num_test": n,
        "tables": [table.as_dict() for table in tables],
        "contests": [asdict(contest) for contest in contests],
        "networks": [asdict(network) for network in networks],
        "denoising": levels,
        "configs": {name: config.model_dump(mode="json") for name, config in configs.items()},
    }
    texts = [table for table, _ in rows] + others
    page = as_page(f"GAN-SGDMA and its five comparators on {data.name}", told, [*rows, *((t, None) for t in others)])
    _finish(out, texts, {NUMBERS: _json(numbers), MARKDOWN: as_markdown(texts).encode(), PAGE: page.encode()})


def reproduce_optimizers(data: Path, out: Path, *, num_epochs: int | None, resume: bool) -> None:
    """Train GAN-SGDMA under five optimizers on the same budget, and write curves and table to `out`.

    Raises:
        ValueError: the data can't be used, `out` holds runs already and `resume` is off, or other runs, or another
            process trains there.
    """
    num_epochs = num_epochs or optimizers.NUM_EPOCHS
    train = read_labelled_faces(data, "train")
    progress.tell_skipped(train.skipped, "training pictures", data)
    learning, held_out = hold_out(train)
    learning = draw_faces(learning, optimizers.NUM_FACES)
    held_out = draw_faces(held_out, optimizers.NUM_VALIDATION_FACES)
    refuse_missing_classes(learning.labels, data)
    names = optimizers.PEAK_RATES
    configs: dict[str, TrainingConfig] = {name: optimizer_config(name, num_epochs) for name in names}
    runs = _identify(out, configs, digest_faces(learning, held_out), resume)
    races = [_race(name, runs[name], learning, held_out, out) for name in names]
    table = races_as_text(races)
    numbers = {
        "data": data.name,
        "num_learning": len(learning.labels),
        "num_held_out": len(held_out.labels),
        "races": [asdict(race) for race in races],
        "configs": {name: config.model_dump(mode="json") for name, config in configs.items()},
    }
    curves = to_png(draw_optimizers({race.optimizer: race.history for race in races}))
    _finish(out, [table], {NUMBERS: _json(numbers), MARKDOWN: as_markdown([table]).encode(), CURVES: curves})


def _identify(out: Path, configs: Mapping[str, TrainingConfig], data_id: str, resume: bool) -> dict[str, RunIdentity]:
    """Say which run goes on in each folder, before the first of them begins."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file: name a folder for the runs and their tables")
    return {name: identify_run(out / name, config, data_id, resume) for name, config in configs.items()}


def _train(name: str, identity: RunIdentity, learning: LabelledFaces, held_out: LabelledFaces, out: Path) -> Trained:
    """Train a run to its end, from where it stands; one that is finished gives its best weights at once."""
    config, folder = identity.config, out / name
    is_identified = False
    with only_training_in(folder), progress.steps(name) as (done, say):

        def on_step(step: int, num_steps: int) -> None:
            nonlocal is_identified
            if not is_identified:
                write_identity(folder, identity)
                is_identified = True
            done(step, num_steps)

        def on_epoch(history: Sequence[EpochMetrics]) -> None:
            last = history[-1]
            say(
                f"{name}, epoch {len(history)}/{config.num_epochs}: class loss {last.losses['class']:.3f}, "
                f"accuracy {last.accuracy:.4f} on held-out faces, {last.seconds:.0f} s"
            )

        learn_from, choose_by = FaceExamples(learning, config), FaceExamples(held_out, config)
        return train_classifier(config, learn_from, choose_by, folder, resume=True, on_epoch=on_epoch, on_step=on_step)


def _race(
    name: OptimizerName, identity: RunIdentity, learning: LabelledFaces, held_out: LabelledFaces, out: Path
) -> Race:
    try:
        return Race(name, _train(name, identity, learning, held_out, out).history, None)
    except FloatingPointError as error:  # to diverge is an outcome too
        path = out / name / METRICS
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return Race(
            name, [EpochMetrics(**json.loads(line)) for line in lines], f"diverged after {len(lines)} epochs: {error}"
        )


def _json(numbers: Mapping[str, object]) -> bytes:
    return (json.dumps(numbers, indent=1, allow_nan=False) + "\n").encode()


def _finish(out: Path, tables: Sequence[TextTable], files: Mapping[str, bytes]) -> None:
    write_files(out, files)
    console = Console(width=None if sys.stdout.isatty() else _FILE_COLUMNS)
    for table in tables:
        shown = Table(*[Column(name, overflow="fold") for name in table.head], title=table.title, title_justify="left")
        for row in table.rows:
            shown.add_row(*row)
        console.print(shown)
        for note in table.notes:
            console.print(note, markup=False, highlight=False)
    print(f"written: {', '.join(str(out / name) for name in files)}", file=sys.stderr)
