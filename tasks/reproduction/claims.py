"""What the GAN-SGDMA paper compares, and the figures of its six tables that are known here; the others stay empty."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Figure = Literal["precision", "recall", "psnr", "accuracy", "seconds", "rmse"]

OURS: Final = "gan-sgdma"
METHODS: Final = {  # recipe and network: what the paper calls it
    "cnn": "CNN",
    "r-cnn": "R-CNN",
    "lstm": "LSTM",
    "dbn": "DBN",
    "rnn": "RNN",
    OURS: "GAN-SGDMA",
}
SIZES: Final = (50, 100, 150, 200, 250, 300)
_PSNR_SIZES = (100, 200, 300, 400, 500, 600)


@dataclass(frozen=True, slots=True)
class TablePlan:
    """One of the paper's tables: a figure of every method on N test items.

    Attributes:
        figure: what is measured.
        title: with its unit.
        digits: after the point.
        sizes: each N.
        claims: by method and N.
    """

    figure: Figure
    title: str
    digits: int
    sizes: tuple[int, ...]
    claims: Mapping[tuple[str, int], float]


PLANS: Final = (
    TablePlan("precision", "Precision, mean of the classes, %", 2, SIZES, {(OURS, 300): 94.32}),
    TablePlan("recall", "Recall, mean of the classes, %", 2, SIZES, {(OURS, 300): 95.66}),
    TablePlan("psnr", "PSNR of the denoised pictures, dB", 2, _PSNR_SIZES, {(OURS, 300): 83.465}),
    TablePlan(
        "accuracy",
        "Accuracy, %",
        2,
        SIZES,
        {
            ("cnn", 300): 74.91,
            ("r-cnn", 300): 76.91,
            ("lstm", 300): 79.60,
            ("dbn", 300): 84.20,
            ("rnn", 300): 91.11,
            (OURS, 300): 97.23,
        },
    ),
    TablePlan("seconds", "Execution time of N items on one thread, s", 3, SIZES, {(OURS, 300): 4.831}),
    TablePlan("rmse", "RMSE of one-hot labels minus probabilities, %", 2, SIZES, {(OURS, 300): 31.981}),
)
