"""The charts of an evaluation: confusion matrices, precision over recall, reliability."""

from collections.abc import Sequence
from typing import Final

import altair as alt

from moodreel.schemas.labels import LABELS
from moodreel.tasks.learning.metrics import Curve, ReliabilityBin

_BLUE, _ORANGE, _GREY, _PALE, _INK = "#2b5c9e", "#d9822b", "#8a93a0", "#f3f6fb", "#1b2430"
_CELL_PX = 62
_LETTERS: Final = alt.Config(
    axis=alt.AxisConfig(labelFontSize=13, titleFontSize=14),
    title=alt.TitleConfig(fontSize=17, subtitleFontSize=13, anchor="start", offset=12),
)
_SHARE: Final = alt.Scale(domain=[0, 1])
_PER_CENT: Final = alt.Axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1], labelFlush=False)
Layers = alt.LayerChart | alt.FacetChart  # altair's type of layered charts; ours are never facets


def draw_confusion(cells: Sequence[Sequence[float | None]], title: str, number_format: str) -> Layers:
    """Draw a (7, 7) matrix, row = label, column = guess; the darker a cell, the larger; a cell of None stays empty.

    Args:
        cells: counts or shares.
        title: stands above it.
        number_format: of the number in a cell, as d3 writes formats.
    """
    known = [
        {"label": LABELS[i], "guess": LABELS[j], "value": value}
        for i, row in enumerate(cells)
        for j, value in enumerate(row)
        if value is not None
    ]
    largest = max(float(cell["value"]) for cell in known)
    order = alt.Scale(domain=list(LABELS))
    above = alt.Axis(orient="top", labelAngle=0, domain=False, ticks=False)
    beside = alt.Axis(domain=False, ticks=False)
    base = alt.Chart(alt.InlineData(values=known)).encode(
        alt.X("guess:N", scale=order, title="guess", axis=above),
        alt.Y("label:N", scale=order, title="label", axis=beside),
    )
    colour = alt.Color("value:Q", scale=alt.Scale(range=[_PALE, _BLUE], domain=[0, largest]), legend=None)
    ink = alt.condition(alt.datum.value > largest * 0.7, alt.value("white"), alt.value(_INK))
    return alt.layer(
        base.mark_rect(stroke="white", strokeWidth=1).encode(colour),
        base.mark_text(fontSize=15).encode(alt.Text("value:Q", format=number_format), color=ink),
    ).properties(width=_CELL_PX * len(LABELS), height=_CELL_PX * len(LABELS) * 0.75, title=title, config=_LETTERS)


def draw_curves(curves: Sequence[Curve]) -> alt.ConcatChart:
    """Draw precision over recall, one panel a class; the dashed line is what guessing the class always would give."""
    title = alt.Title("Precision over recall", subtitle="after the name: average precision; dashed: always that guess")
    return alt.concat(*[_draw_curve(curve) for curve in curves], columns=4).properties(title=title, config=_LETTERS)


def draw_reliability(before: Sequence[ReliabilityBin], after: Sequence[ReliabilityBin] | None) -> Layers:
    """Draw how often a guess is right over its mean probability, one point a bin; None: there is no temperature."""
    told = {"as the network gives them": before, "after the temperature": after or []}
    points = [
        {"probabilities": name, "confidence": item.confidence, "accuracy": item.accuracy, "faces": item.n}
        for name, bins in told.items()
        for item in bins
    ]
    diagonal = alt.Chart(alt.InlineData(values=[{"confidence": 0, "accuracy": 0}, {"confidence": 1, "accuracy": 1}]))
    colour = alt.Color(
        "probabilities:N",
        scale=alt.Scale(domain=[name for name, bins in told.items() if bins], range=[_ORANGE, _BLUE]),
        legend=alt.Legend(orient="bottom-right", title=None, labelFontSize=13, labelLimit=300),
    )
    size = alt.Size("faces:Q", scale=alt.Scale(range=[20, 400]), legend=None)
    base = alt.Chart(alt.InlineData(values=points)).encode(
        alt.X("confidence:Q", title="probability of the guess", scale=_SHARE, axis=_PER_CENT),
        alt.Y("accuracy:Q", title="share of guesses that are right", scale=_SHARE, axis=_PER_CENT),
        colour,
    )
    title = alt.Title("Reliability", subtitle="on the dashed line a probability says how often the guess is right")
    return alt.layer(
        diagonal.mark_line(color=_GREY, strokeDash=[5, 4]).encode(alt.X("confidence:Q"), alt.Y("accuracy:Q")),
        base.mark_line(strokeWidth=2),
        base.mark_point(filled=True, opacity=0.85).encode(size),
    ).properties(width=430, height=400, title=title, config=_LETTERS)


def _draw_curve(curve: Curve) -> Layers:
    steps = zip(curve.recall, curve.precision, strict=True)
    points = alt.InlineData(values=[{"recall": recall, "precision": precision} for recall, precision in steps])
    chance = alt.Chart(alt.InlineData(values=[{"precision": curve.share}]))
    precision = alt.Y("precision:Q", title="precision", scale=_SHARE, axis=_PER_CENT)
    return alt.layer(
        chance.mark_rule(color=_GREY, strokeDash=[5, 4], strokeWidth=1.5).encode(precision),
        alt.Chart(points)
        .mark_line(color=_BLUE, strokeWidth=2.5)
        .encode(alt.X("recall:Q", title="recall", scale=_SHARE, axis=_PER_CENT), precision),
    ).properties(width=165, height=150, title=alt.Title(f"{curve.label}: {curve.average_precision:.2f}", fontSize=15))
