"""The command line. Every command imports what it needs itself, so that --help answers at once."""

import json
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from moodreel.flows.room import told_of_room
from moodreel.schemas.complaints import in_words
from moodreel.schemas.purposes import Ground
from moodreel.warehouse.storage import CatalogLostError

EXIT_FAILED, EXIT_USAGE, EXIT_SOME_FAILED = 1, 2, 3
EXIT_INTERRUPTED = 130  # as shells have it; typer turns Ctrl-C into it without a word

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Apparent emotion in folders of video: analyse at night, ask in SQL by day.",
)
Warehouse = Annotated[Path, typer.Option(help="Folder of the tables.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Purpose = Annotated[str | None, typer.Option(help="What it is for; by default what MOODREEL_PURPOSE says.")]
LawfulGround = Annotated[Ground | None, typer.Option("--exception", help="Why it is lawful at work or in education.")]


class Format(StrEnum):
    """How `sql` prints."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


class Decoder(StrEnum):
    """What decodes the picture."""

    PYAV = "pyav"
    DECORD = "decord"


class Language(StrEnum):
    """What `notice` speaks."""

    ENGLISH = "en"
    GERMAN = "de"


class Experiment(StrEnum):
    """What `reproduce` repeats."""

    GAN_SGDMA = "gan-sgdma"
    OPTIMIZERS = "optimizers"


DEFAULT_WAREHOUSE = Path("warehouse-data")
RUNS = Path("runs")


@app.command()
def run(
    folder: Annotated[Path, typer.Argument(help="Folder with videos, sub-folders too.")],
    warehouse: Warehouse = DEFAULT_WAREHOUSE,
    models: Annotated[str, typer.Option(help="Models by name, with commas; see `moodreel models`.")] = "",
    features: Annotated[bool, typer.Option("--features", help="Store each face's deep features too.")] = False,
    sample_fps: Annotated[float, typer.Option(help="Frames looked at in a second of video.")] = 5.0,
    min_face_px: Annotated[int, typer.Option(help="Smallest face to find; larger is faster.")] = 20,
    decoder: Annotated[Decoder, typer.Option(help="decord is an alternative to PyAV.")] = Decoder.PYAV,
    no_audio: Annotated[bool, typer.Option("--no-audio", help="Leave the sound out.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Ray actors; 0 works in this process. Default: one a processor.")
    ] = None,
    purpose: Purpose = None,
    exception: LawfulGround = None,
    as_json: AsJson = False,
) -> None:
    """Analyse what is new in FOLDER and commit it to the warehouse."""
    from moodreel.flows.run import run_night
    from moodreel.schemas.config import NightRequest

    request = NightRequest(
        folder=str(folder),
        warehouse=str(warehouse),
        models=tuple(name for name in models.split(",") if name),
        features=features,
        sample_fps=sample_fps,
        min_face_px=min_face_px,
        decoder=decoder.value,
        audio=not no_audio,
        workers=workers,
        purpose=purpose,
        exception=exception,
    )
    with redirect_stdout(sys.stderr):  # Ray prints what becomes of its workers
        report = run_night(request)
    if as_json:
        print(json.dumps(report.summary.as_dict()))
        print(*report.notes, sep="\n", end="\n" if report.notes else "", file=sys.stderr)
    else:
        report.show()
    if report.summary.counts.num_failed:
        raise typer.Exit(EXIT_SOME_FAILED)


@app.command()
def rerun(
    models: Annotated[str, typer.Option(help="Models by name, with commas; see `moodreel models`.")],
    warehouse: Warehouse = DEFAULT_WAREHOUSE,
    purpose: Purpose = None,
    exception: LawfulGround = None,
    as_json: AsJson = False,
) -> None:
    """Classify what earlier runs stored, faces or sound, with other models; no video is opened."""
    from moodreel.flows.answers import show_rerun
    from moodreel.flows.rerun import rerun_models

    summary = rerun_models([name for name in models.split(",") if name], warehouse, purpose, exception)
    if as_json:
        print(json.dumps(summary.as_dict()))
    else:
        show_rerun(summary)
    if summary.counts.num_failed:
        raise typer.Exit(EXIT_SOME_FAILED)


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="One SELECT.")],
    warehouse: Warehouse = DEFAULT_WAREHOUSE,
    format: Annotated[Format | None, typer.Option(help="By default a table, or what the ending of FILE says.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="File to write instead of printing.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds after which the query is given up.")] = 300.0,
) -> None:
    """Ask the warehouse in SQL, read-only; who asked what is kept in its audit.sqlite."""
    from moodreel.flows.answers import write_answer

    write_answer(warehouse, query, None if format is None else format.value, output, timeout)


@app.command()
def notice(
    language: Annotated[Language, typer.Option(help="Language of the text.")] = Language.ENGLISH,
    controller: Annotated[str | None, typer.Option(help="Who is responsible: name and address.")] = None,
    purpose: Purpose = None,
    exception: LawfulGround = None,
) -> None:
    """Print the notice that people on camera must get; what you have to fill in stands in [square brackets]."""
    from moodreel.flows.notice import notice_text

    print(notice_text(language.value, controller, purpose, exception))


models_app = typer.Typer(add_completion=False)
app.add_typer(models_app, name="models")


@models_app.callback(invoke_without_command=True)
def models(
    context: typer.Context,
    as_json: AsJson = False,
    cards: Annotated[
        Path | None, typer.Option(help="Write the shipped models' cards into this folder instead.")
    ] = None,
) -> None:
    """Say what is registered, how accurate it is and under which licence; `add` registers your own."""
    if context.invoked_subcommand:
        if as_json or cards:
            raise ValueError("--json and --cards have no meaning with `models add`: leave them out")
        return
    if as_json and cards:
        raise ValueError("--json prints the models, --cards writes their cards: leave one of them out")
    from moodreel.flows.answers import show_models, write_cards

    if cards is None:
        show_models(as_json)
    else:
        write_cards(cards)


@models_app.command("add")
def add_own_model(
    manifest: Annotated[Path, typer.Argument(help="TOML; the weights, safetensors or ONNX, lie beside it.")],
    force: Annotated[bool, typer.Option("--force", help="Replace your other model of that name.")] = False,
) -> None:
    """Register a model of your own, after a trial; `run`, `rerun` and `evaluate` then know its name."""
    from moodreel.flows.own_models import add_model

    add_model(manifest, force=force)


failures_app = typer.Typer(add_completion=False)
app.add_typer(failures_app, name="failures")


@failures_app.callback(invoke_without_command=True)
def failures(context: typer.Context, warehouse: Warehouse = DEFAULT_WAREHOUSE, as_json: AsJson = False) -> None:
    """Say what failed and was not analysed since, by reason; `retry` has it tried again."""
    if context.invoked_subcommand:
        if as_json or warehouse != DEFAULT_WAREHOUSE:
            raise ValueError("--json and --warehouse belong after `failures retry`, or have no meaning there")
        return
    from moodreel.flows.failures import show_failures

    show_failures(warehouse, as_json)


@failures_app.command("retry")
def retry_failures(
    which: Annotated[str | None, typer.Argument(help="A path or a video_id.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Everything that is not tried any more.")] = False,
    warehouse: Warehouse = DEFAULT_WAREHOUSE,
) -> None:
    """Have the next run try again what it would leave alone: quarantined, or failed for good."""
    from moodreel.flows.failures import retry_failures

    if (which is None) != all_:
        raise ValueError("name a path or a video_id, or give --all")
    print(f"{retry_failures(warehouse, which)} to be tried again by the next run")


@app.command()
def maintain(
    warehouse: Warehouse = DEFAULT_WAREHOUSE,
    keep_crops_days: Annotated[
        int | None, typer.Option(min=0, help="Delete the face pictures of videos analysed longer ago. Default: none.")
    ] = None,
    keep_snapshots_days: Annotated[
        int, typer.Option(min=0, help="How far time travel, and rows of settings replaced since, reach back.")
    ] = 7,
    as_json: AsJson = False,
) -> None:
    """Merge small files, expire snapshots and remove what nothing needs; at any time, also beside a run."""
    from moodreel.flows.upkeep import maintain_warehouse

    report = maintain_warehouse(warehouse, keep_crops_days, keep_snapshots_days)
    if as_json:
        print(json.dumps(report.as_dict()))
    else:
        report.show()


@app.command()
def erase(
    subject: Annotated[str, typer.Argument(help="A video_id, a path that was seen, or a person: VIDEO_ID:TRACK_ID.")],
    warehouse: Warehouse = DEFAULT_WAREHOUSE,
    as_json: AsJson = False,
) -> None:
    """Remove a video or a person from all tables, files and snapshots for good and prove it; not while a run is on."""
    from moodreel.flows.upkeep import erase_subject

    report = erase_subject(warehouse, subject)
    if as_json:
        print(json.dumps(report.as_dict()))
    else:
        report.show()


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say whether this machine is ready; exit 1 if not."""
    from moodreel.flows.doctor import check_machine

    if not check_machine(as_json):
        raise typer.Exit(EXIT_FAILED)


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="A named recipe of tasks/learning/recipes.py.")],
    data: Annotated[Path, typer.Option(help="Labelled faces, or clips for a recipe of voices; see README.")],
    out: Annotated[Path | None, typer.Option(help="Run folder; by default runs/NAME.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the model; by default the recipe's.")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Another setting than the recipe's, such as seed=1.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last whole epoch.")] = False,
    init: Annotated[Path | None, typer.Option(help="Weights (safetensors) to start from.")] = None,
    find_rate: Annotated[bool, typer.Option("--find-rate", help="Propose a learning rate; train nothing.")] = False,
    warehouse: Warehouse = DEFAULT_WAREHOUSE,
) -> None:
    """Train a classifier of faces or voices and write its weights and manifest; its epochs go to the warehouse too."""
    from moodreel.flows.training_order import TrainingOrder

    if find_rate and resume:
        raise ValueError("--find-rate trains nothing, so there is nothing to --resume: leave one of them out")
    folder = out or RUNS / (name or recipe)
    order = TrainingOrder(recipe, data, folder, warehouse, resume, init, name, tuple(changes or ()))
    from moodreel.flows.training import run_training, search_rate

    (search_rate if find_rate else run_training)(order)


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="A registered model; with --folds voice recipes, with commas.")],
    data: Annotated[Path, typer.Option(help="Labelled faces, or clips for a model of voices; see README.")],
    split: Annotated[str | None, typer.Option(help="Rows of this split only.")] = None,
    as_: Annotated[str | None, typer.Option("--as", help="grey48: reduce pictures to 48 px grey first.")] = None,
    by_votes: Annotated[
        bool, typer.Option("--by-votes", help="Right is the commonest answer of FER+'s taggers.")
    ] = False,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder for a page with pictures.")] = None,
    folds: Annotated[str | None, typer.Option(help="speaker: cross-validate, no speaker learnt and judged.")] = None,
    runs: Annotated[Path, typer.Option(help="With --folds: folder of the runs, which go on where they stand.")] = RUNS,
    as_json: AsJson = False,
) -> None:
    """Measure a model on labelled faces or clips, or voice recipes by cross-validation."""
    if folds is not None:
        if folds != "speaker":
            raise ValueError(f"--folds {folds}: only speaker is known")
        if split or as_ or by_votes or output:
            raise ValueError("--split, --as, --by-votes and -o have no meaning with --folds: leave them out")
        from moodreel.flows.evaluation import run_folds

        run_folds(model.split(","), data, runs, as_json=as_json)
        return
    if runs != RUNS:
        raise ValueError("--runs has no meaning without --folds: leave it out")
    if as_ not in (None, "grey48"):
        raise ValueError(f"--as {as_}: only grey48 is known")
    from moodreel.models.registry import read_manifest

    read_manifest(model)  # a wrong name is told before PyTorch takes its seconds to load
    from moodreel.flows.evaluation import run_evaluation

    grey = as_ == "grey48"
    run_evaluation(model, data, split, as_grey48=grey, by_votes=by_votes, output=output, as_json=as_json)


@app.command()
def reproduce(
    experiment: Annotated[
        Experiment, typer.Argument(help="The paper's six tables, or GAN-SGDMA under five optimizers.")
    ],
    data: Annotated[Path, typer.Option(help="Labelled faces: Parquet, FER2013's CSV or a folder of class folders.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the runs and the tables; by default in runs.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Of every network, instead of the usual budget.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the runs stand.")] = False,
) -> None:
    """Repeat a comparison of the GAN-SGDMA paper: train, measure, and set our figures beside its claims."""
    from moodreel.flows.reproduction import reproduce_comparison, reproduce_optimizers

    repeat = reproduce_comparison if experiment is Experiment.GAN_SGDMA else reproduce_optimizers
    repeat(data, out or RUNS / f"reproduce-{experiment}", num_epochs=epochs, resume=resume)


def main() -> None:
    """Run the command line: a user's mistake is one line and exit 2, a failed run exit 1, Ctrl-C exit 130."""
    sys.exit(_guarded(app))


def _guarded(command: Callable[..., Any]) -> int:
    try:
        result = command(standalone_mode=False)
    except typer.Exit as ending:
        return int(ending.exit_code)
    except CatalogLostError as error:
        print(f"moodreel: {_one_line(error)}", file=sys.stderr)
        return EXIT_FAILED
    except ValueError as error:
        print(f"moodreel: {_one_line(error)}", file=sys.stderr)
        return EXIT_USAGE
    except Exception as error:  # whatever it was, a user gets one line and an exit code
        if hasattr(error, "format_message"):  # click's own complaints about options
            print(f"moodreel: {error.format_message()}", file=sys.stderr)
            return EXIT_USAGE
        told = told_of_room(error) or f"{type(error).__name__}: {_one_line(error)}"
        print(f"moodreel: {told}", file=sys.stderr)
        return EXIT_FAILED
    if result == EXIT_INTERRUPTED:
        print("moodreel: interrupted; what was committed stays, the next run goes on", file=sys.stderr)
    return result if isinstance(result, int) else 0


def _one_line(error: Exception) -> str:
    errors = getattr(error, "errors", None)
    if callable(errors):  # pydantic's
        return in_words(errors())
    return " ".join(str(error).split())
