"""The charts of a reproduction: a figure against N by method, and curves of the optimizers over the epochs."""

import io
from collections.abc import Mapping, Sequence
from typing import Final

import altair as alt

from moodreel.tasks.learning.train import EpochMetrics
from moodreel.tasks.reproduction.claims import METHODS
from moodreel.tasks.reproduction.statistics import LEVEL, NUM_DRAWS
from moodreel.tasks.reproduction.tables import PaperTable

_PIXELS_PER_INCH = 144
_COLOURS: Final = ("#8a93a0", "#d9822b", "#3a9188", "#8e5ea2", "#b03a48", "#2b5c9e")  # GAN-SGDMA, the last, in blue
_LETTERS: Final = alt.Config(
    axis=alt.AxisConfig(labelFontSize=13, titleFontSize=14),
    title=alt.TitleConfig(fontSize=17, subtitleFontSize=13, anchor="start", offset=12),
    legend=alt.LegendConfig(labelFontSize=13, title=None, symbolStrokeWidth=3, symbolSize=120),
)
Layers = alt.LayerChart | alt.FacetChart  # altair's type of layered charts; ours are never facets


def draw_table(table: PaperTable) -> Layers:
    """Draw a figure against N: a line a method, its interval as a band, the paper's claims as diamonds."""
    known = [
        (METHODS[method], size, cell)
        for method, cells in table.cells.items()
        for size, cell in zip(table.plan.sizes, cells, strict=True)
    ]
    measured = [
        {
            "method": name,
            "size": size,
            "value": cell.estimate.mean,
            "low": cell.estimate.mean - cell.estimate.margin,
            "high": cell.estimate.mean + cell.estimate.margin,
        }
        for name, size, cell in known
        if cell.estimate is not None
    ]
    claimed = [{"method": name, "size": size, "value": cell.claim} for name, size, cell in known if cell.claim]
    names = [name for name in METHODS.values() if any(row["method"] == name for row in measured + claimed)]
    colour = _colour("method", names, dict(zip(METHODS.values(), _COLOURS, strict=True)))
    size = alt.X(
        "size:Q",
        title="N, test items",
        scale=alt.Scale(domain=[table.plan.sizes[0], table.plan.sizes[-1]], nice=False, padding=14),
        axis=alt.Axis(values=list(table.plan.sizes), grid=False),
    )
    value = alt.Y("value:Q", title=table.plan.title, scale=alt.Scale(zero=False))
    base = alt.Chart(alt.InlineData(values=measured)).encode(size, colour)
    subtitle = f"mean of {NUM_DRAWS} draws, band: {LEVEL:.0%} interval; diamonds: what the paper claims"
    return alt.layer(
        base.mark_area(opacity=0.18).encode(alt.Y("low:Q", title=table.plan.title), alt.Y2("high:Q")),
        base.mark_line(strokeWidth=2.5).encode(value),
        base.mark_point(filled=True, opacity=1, size=45).encode(value),
        alt.Chart(alt.InlineData(values=claimed))
        .mark_point(shape="diamond", size=130, strokeWidth=2, opacity=1)
        .encode(size, value, colour),
    ).properties(width=560, height=340, title=alt.Title(table.plan.title, subtitle=subtitle), config=_LETTERS)


def draw_optimizers(histories: Mapping[str, Sequence[EpochMetrics]]) -> alt.HConcatChart:
    """Draw class loss and validation accuracy against the epoch, a line an optimizer."""
    points = [
        {"optimizer": name, "epoch": epoch.epoch + 1, "loss": epoch.losses["class"], "accuracy": epoch.accuracy}
        for name, history in histories.items()
        for epoch in history
    ]
    colour = _colour("optimizer", list(histories), dict(zip(histories, reversed(_COLOURS), strict=False)))
    last = max(len(history) for history in histories.values())
    epoch = alt.X("epoch:Q", scale=alt.Scale(domain=[1, max(2, last)], padding=10), axis=_epochs(last))
    base = alt.Chart(alt.InlineData(values=points)).encode(epoch, colour)
    line = base.mark_line(strokeWidth=2.5, point=alt.OverlayMarkDef(size=45))
    title = alt.Title("GAN-SGDMA under five optimizers", subtitle="the same faces, epochs and schedule for all")
    curves: alt.HConcatChart = (
        alt.hconcat(
            line.encode(alt.Y("loss:Q", title="class loss in training, nats", scale=alt.Scale(zero=False))).properties(
                width=380, height=320
            ),
            line.encode(
                alt.Y(
                    "accuracy:Q",
                    title="validation accuracy",
                    scale=alt.Scale(zero=False),
                    axis=alt.Axis(format=".0%"),
                )
            ).properties(width=380, height=320),
        )
        .properties(title=title)
        .configure(**_LETTERS.to_dict())
    )
    return curves


def to_png(chart: Layers | alt.HConcatChart) -> bytes:
    """Return a chart's picture."""
    data = io.BytesIO()
    chart.save(data, format="png", ppi=_PIXELS_PER_INCH)
    return data.getvalue()


def _colour(field: str, names: Sequence[str], colours: Mapping[str, str]) -> alt.Color:
    scale = alt.Scale(domain=list(names), range=[colours[name] for name in names])
    return alt.Color(f"{field}:N", scale=scale, legend=alt.Legend(symbolType="stroke", symbolOpacity=1))


def _epochs(last: int) -> alt.Axis:
    return alt.Axis(values=list(range(1, last + 1)), format="d", grid=False)
