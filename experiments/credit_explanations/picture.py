"""The ratio of approval rates over the applications, with its limits."""

from __future__ import annotations

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

_HIGHEST = 2.5
"""Upper end of the picture; the first limits lie beyond it."""


def picture(found: Results) -> str:
    """Return the results as an SVG picture."""
    figures = found["figures"]
    looks = [
        {
            "applications": look["applications"],
            "ratio": look["ratio"],
            "lower": look["lower"],
            "upper": min(look["upper"] or _HIGHEST, _HIGHEST),
        }
        for look in figures["looks"]
    ]
    base = chart_of(looks)
    scale = alt.Scale(domain=[0, _HIGHEST])
    applications = alt.X("applications:Q")
    band = base.mark_area(color=BAND, opacity=0.6).encode(
        x=applications,
        y=alt.Y("lower:Q", scale=scale, title="approval rate under 26 / 26 and over"),
        y2="upper:Q",
    )
    line = base.mark_line(color=CALM, point=True).encode(x=applications, y="ratio:Q")
    least = limit_line(figures["disparity"]["least_ratio"], "least allowed")
    title = "Line: as seen. Band: 95 % limits that hold whenever one looks"
    chart = alt.layer(band, line, least)
    return to_picture(chart.properties(width=WIDTH, height=HEIGHT, title=title))
