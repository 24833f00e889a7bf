"""The e-value over the pairs, beside what other orders of the same rows give."""

from __future__ import annotations

import math

import altair as alt

from experiments.replays.picture import (
    HEIGHT,
    WIDTH,
    chart_of,
    limit_line,
    to_picture,
)
from experiments.replays.results import Results
from sandbox.report.drawing import BAND, CALM

_WORDS = "e-value against equal chances"
_MARKS = alt.Axis(values=[0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50])


def picture(found: Results) -> str:
    """Return the results as an SVG picture."""
    figures = found["figures"]
    path = [
        {"pairs": look["units_per_arm"], "e": math.exp(look["log_e_value"])}
        for look in figures["looks"]
    ]
    orders = [
        {
            "pairs": item["pairs"],
            "low": math.exp(item["low"]),
            "high": math.exp(item["high"]),
        }
        for item in figures["orders"]
    ]
    scale = alt.Scale(type="log", domain=[0.1, 50])
    pairs = alt.X("pairs:Q", title="pairs, in the order of the rows")
    seen = chart_of(path).mark_line(color=CALM, point=True)
    band = chart_of(orders).mark_area(color=BAND, opacity=0.6)
    layers = alt.layer(
        band.encode(
            x=pairs,
            y=alt.Y("low:Q", scale=scale, title=_WORDS, axis=_MARKS),
            y2="high:Q",
        ),
        seen.encode(x=pairs, y=alt.Y("e:Q", scale=scale)),
        limit_line(math.exp(figures["enough"]), "20: a difference is claimed"),
    )
    title = "Line: these rows. Band: 90 % of other orders of the same rows"
    return to_picture(layers.properties(width=WIDTH, height=HEIGHT, title=title))
