"""A reproduction's tables as rows of text, and those as Markdown; page and terminal show the same rows."""

from collections.abc import Sequence
from dataclasses import dataclass

from moodreel.tasks.reproduction.claims import METHODS, OURS
from moodreel.tasks.reproduction.statistics import LEVEL, NUM_DRAWS
from moodreel.tasks.reproduction.tables import Cell, Contest, Network, PaperTable


@dataclass(frozen=True, slots=True)
class TextTable:
    """Rows under a head, the first column names the row; notes stand beneath."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if any(len(row) != len(self.head) for row in self.rows):
            raise ValueError(f"{self.title}: every row needs {len(self.head)} cells")


def as_text(table: PaperTable) -> TextTable:
    """Return a row a method; where the paper claims something at N, its claim stands right of our figure."""
    plan = table.plan
    claimed = {size for _, size in plan.claims}
    head, rows = ["method"], {method: [name] for method, name in METHODS.items()}
    for place, size in enumerate(plan.sizes):
        head += [f"N = {size}", f"paper, N = {size}"] if size in claimed else [f"N = {size}"]
        for method, row in rows.items():
            cell = table.cells[method][place]
            row.append(_estimate(cell, plan.digits))
            if size in claimed:
                row.append("" if cell.claim is None else f"{cell.claim:g}")
    reasons = dict.fromkeys(cell.reason for cells in table.cells.values() for cell in cells if cell.reason)
    return TextTable(plan.title, tuple(head), [tuple(row) for row in rows.values()], (_DRAWN, *reasons))


def contests_as_text(contests: Sequence[Contest], n: int) -> TextTable:
    """Return GAN-SGDMA against each comparator on all n test faces."""
    ours = METHODS[OURS]
    head = ("method", "accuracy, %", f"{ours}, %", f"only {ours} right", "only it right", "p", "p, Holm")
    rows = [
        (
            METHODS[contest.method],
            f"{100 * contest.accuracy:.2f}",
            f"{100 * contest.accuracy_ours:.2f}",
            str(contest.only_ours),
            str(contest.only_theirs),
            f"{contest.p:.2g}",
            f"{contest.p_corrected:.2g}",
        )
        for contest in contests
    ]
    note = "McNemar's exact test on the faces that only one of the two gets right; Holm's correction for five tests."
    return TextTable(f"{ours} against each comparator on all {n:,} test faces", head, rows, (note,))


def networks_as_text(networks: Sequence[Network], n: int) -> TextTable:
    """Return how each network was trained, and its accuracy on all n test faces."""
    head = (
        "method",
        "parameters",
        "peak rate",
        "epochs",
        "best",
        "s an epoch",
        "held out, %",
        "test, %",
        "leak-free, %",
    )
    rows = [
        (
            METHODS[network.method],
            f"{network.num_parameters:,}",
            f"{network.peak_rate:g}",
            str(network.num_epochs),
            str(network.best_epoch),
            f"{network.seconds_per_epoch:.0f}",
            f"{100 * network.held_out_accuracy:.2f}",
            f"{100 * network.accuracy:.2f}",
            "n/a" if network.accuracy_leak_free is None else f"{100 * network.accuracy_leak_free:.2f}",
        )
        for network in networks
    ]
    note = "Leak-free leaves out the test faces whose exact pixels are also among the training faces."
    return TextTable(f"The networks, and their accuracy on all {n:,} test faces", head, rows, (note,))


def denoising_as_text(levels: Sequence[dict[str, float]]) -> TextTable:
    """Return the mean PSNR of all test faces before and after denoising, by level of noise."""
    rows = [
        (
            f"{level['sigma']:g}",
            f"{level['noisy_db']:.2f}",
            f"{level['denoised_db']:.2f}",
            f"{level['denoised_db'] - level['noisy_db']:+.2f}",
        )
        for level in levels
    ]
    note = "Pixels span -1 to 1. The PSNR table's figures are means over these levels of noise."
    return TextTable(
        "What the denoiser gains on all test faces",
        ("noise, sigma", "noisy, dB", "denoised, dB", "gain, dB"),
        rows,
        (note,),
    )


def as_markdown(tables: Sequence[TextTable], level: int = 3) -> str:
    """Return tables under headings of a level."""
    parts = []
    for table in tables:
        lines = [table.head, ("---",) + ("---:",) * (len(table.head) - 1), *table.rows]
        body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        parts.append("\n\n".join([f"{'#' * level} {table.title}", body, *table.notes]))
    return "\n\n".join(parts) + "\n"


_DRAWN = f"Mean of {NUM_DRAWS} draws ± half the width of Student's {LEVEL:.0%} interval of that mean."


def _estimate(cell: Cell, digits: int) -> str:
    if cell.estimate is None:
        return "n/a"
    return f"{cell.estimate.mean:.{digits}f} ± {cell.estimate.margin:.{digits}f}"
