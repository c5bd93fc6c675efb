"""What a rate search leaves in the run folder: its numbers and its picture."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Final

import altair as alt
import numpy as np

from moodreel.tasks.learning.checkpoint import write_whole
from moodreel.tasks.learning.rate_finder import RateSearch

NUMBERS: Final = "rate_finder.json"
PICTURE: Final = "rate_finder.png"
_PIXELS_PER_INCH = 144
_RAW, _SMOOTH, _CHOSEN = "#b8c4d6", "#2b5c9e", "#c0392b"


def write_rate_search(search: RateSearch, title: str, out: Path) -> None:
    """Write rate_finder.json and rate_finder.png, each whole or not at all.

    Args:
        search: what the search saw.
        title: stands above the picture.
        out: a folder, made if need be.
    """
    out.mkdir(parents=True, exist_ok=True)
    chart = draw_rate_search(search, title)
    write_whole(out / NUMBERS, lambda path: path.write_text(json.dumps(asdict(search)), encoding="utf-8"))
    write_whole(out / PICTURE, lambda path: chart.save(path, format="png", ppi=_PIXELS_PER_INCH))


def draw_rate_search(search: RateSearch, title: str) -> alt.LayerChart:
    """Draw the loss against the rate, chosen rate and minimum marked and named; a loss that explodes leaves the top.

    Where the minimum is what is chosen, it is marked once.
    """
    low, high = min(search.losses), max(search.smoothed)
    room = 0.08 * (high - low)
    axis = alt.Axis(format="~e", values=[10.0**power for power in range(-9, 4)])
    rate = alt.X("rate:Q", scale=alt.Scale(type="log", nice=False), title="learning rate", axis=axis)
    loss = alt.Y(
        "loss:Q",
        scale=alt.Scale(domain=[low - room, high + room], nice=False, zero=False),
        title="class loss of a batch, nats",
    )
    batches = alt.Chart(_points(search.rates, search.losses))
    line = alt.Chart(_points(search.rates, search.smoothed))
    is_minimum = search.chosen_rate == search.minimum_rate
    named = {"chosen": search.chosen_rate} | ({} if is_minimum else {"minimum": search.minimum_rate})
    marked = list(named.values())
    why = "the minimum, for the peak of one-cycle" if is_minimum else "a tenth of the minimum's rate"
    heights = np.interp(np.log(marked), np.log(search.rates), search.smoothed).tolist()
    marks = alt.Chart(_points(marked, heights, [f"{name}: {value:.2g}" for name, value in named.items()]))
    colour = alt.Color("says:N", scale=alt.Scale(range=[_CHOSEN, _SMOOTH]), legend=None)
    chart: alt.LayerChart = (
        alt.layer(
            batches.mark_point(clip=True, color=_RAW, filled=True, opacity=1, size=22).encode(rate, loss),
            line.mark_line(clip=True, color=_SMOOTH, strokeWidth=2.5).encode(rate, loss),
            marks.mark_rule(strokeDash=[6, 4], strokeWidth=1.5).encode(rate, color=colour),
            marks.mark_point(filled=True, opacity=1, size=110).encode(rate, loss, color=colour),
            marks.mark_text(align="right", dx=-6, fontSize=13, fontWeight="bold").encode(
                rate, y=alt.value(14), text="says:N", color=colour
            ),
        )
        .properties(
            width=600,
            height=340,
            title=alt.Title(title, subtitle=f"points: single batches; line: smoothed; chosen: {why}"),
        )
        .configure_axis(labelFontSize=12, titleFontSize=13)
    )
    return chart


def _points(rates: list[float], losses: list[float], names: list[str] | None = None) -> alt.InlineData:
    says = names or [""] * len(rates)
    rows = zip(rates, losses, says, strict=True)
    return alt.InlineData(values=[{"rate": rate, "loss": loss, "says": name} for rate, loss, name in rows])
