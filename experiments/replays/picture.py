"""A chart of results as an SVG file that stands by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import vl_convert

from sandbox.report.drawing import ALARM, GRID, INK

WIDTH, HEIGHT = 640, 300


def chart_of(rows: Sequence[Mapping[str, object]]) -> alt.Chart:
    """Return a chart of rows of data, not yet drawn."""
    return alt.Chart(alt.InlineData(values=list(rows)))


def limit_line(value: float, words: str) -> Any:
    """Return a level line with its words below it, at the left end."""
    base = chart_of([{"limit": value, "words": words}])
    line = base.mark_rule(color=ALARM, strokeDash=[6, 4]).encode(y="limit:Q")
    text = base.mark_text(color=ALARM, align="left", dx=4, dy=12).encode(
        x=alt.value(0), y="limit:Q", text="words:N"
    )
    return line + text


def to_picture(chart: alt.TopLevelMixin) -> str:
    """Return the chart as SVG, dark on white."""
    words: dict[str, Any] = {"labelColor": INK, "titleColor": INK, "gridColor": GRID}
    themed = chart.configure(
        background="white", font="sans-serif", axis=words, title={"color": INK}
    ).configure_view(stroke=None)
    return str(vl_convert.vegalite_to_svg(vl_spec=themed.to_dict()))
