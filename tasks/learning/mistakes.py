"""The worst mistakes of an evaluation, the surest first, as one picture that shows the faces."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from moodreel.schemas.labels import LABELS
from moodreel.tasks.crops import open_crop
from moodreel.tasks.learning.labelled import LabelledFaces

_COLUMNS = 6
_FACE_PX, _GAP_PX, _LINE_PX = 200, 24, 30
_INK, _RED = "#1b2430", "#b3261e"


@dataclass(frozen=True, slots=True)
class Mistake:
    """A face that was taken for another expression; `index` is its place among the labelled faces."""

    index: int
    label: str
    guess: str
    label_probability: float
    guess_probability: float


def worst_mistakes(probabilities: NDArray[np.float32], labels: NDArray[np.int64], count: int) -> list[Mistake]:
    """Return at most `count` wrong guesses, by falling probability of the guess."""
    guesses, sureness = probabilities.argmax(1), probabilities.max(1)
    wrong = np.flatnonzero(guesses != labels)
    worst = wrong[np.argsort(-sureness[wrong], kind="stable")][:count]
    return [
        Mistake(int(i), LABELS[labels[i]], LABELS[guesses[i]], float(probabilities[i, labels[i]]), float(sureness[i]))
        for i in worst
    ]


def draw_mistakes(faces: LabelledFaces, mistakes: list[Mistake]) -> Image.Image:
    """Draw each face with its label and the guess, and what probability either was given; at least one mistake."""
    num_columns = min(_COLUMNS, len(mistakes))
    num_rows = -(-len(mistakes) // num_columns)
    width, height = _FACE_PX + _GAP_PX, _FACE_PX + 2 * _LINE_PX + _GAP_PX
    sheet = Image.new("RGB", (num_columns * width + _GAP_PX, num_rows * height + _GAP_PX), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(22)
    for place, mistake in enumerate(mistakes):
        left, top = _GAP_PX + place % num_columns * width, _GAP_PX + place // num_columns * height
        face = open_crop(faces.images[mistake.index])
        face.thumbnail((_FACE_PX, _FACE_PX))
        scale = _FACE_PX / max(face.size)
        face = face.resize((round(face.width * scale), round(face.height * scale)), Image.Resampling.BICUBIC)
        sheet.paste(face, (left, top))
        pen.text((left, top + _FACE_PX + 6), f"label {mistake.label} {mistake.label_probability:.0%}", _INK, font)
        guess = f"guess {mistake.guess} {mistake.guess_probability:.0%}"
        pen.text((left, top + _FACE_PX + 6 + _LINE_PX), guess, _RED, font)
    return sheet
