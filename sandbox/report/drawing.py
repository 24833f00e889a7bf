"""From an Altair chart to a static SVG that lives in a page without scripts.

Rules of this module:

* Colours become CSS custom properties, so that one drawing serves light and dark.
* The drawing is one image to assistive technology, with a description in words.
* Identifiers inside the drawing are made unique, for several share one page.
"""

from __future__ import annotations

import re
from html import escape
from typing import Any, NamedTuple

import altair as alt
import vl_convert

INK, MUTED, GRID = "#1c1b22", "#6f6d78", "#dcdae3"
CALM, ALARM, DOUBT, BAND, FROZEN = (
    "#1f5fa6",
    "#c03a1d",
    "#8a6d00",
    "#a8c6e8",
    "#ddd6f3",
)
_NAMES = {
    INK: "ink",
    MUTED: "muted",
    GRID: "line",
    CALM: "calm",
    ALARM: "alarm",
    DOUBT: "doubt",
    BAND: "band",
    FROZEN: "frozen",
}
CLOCK = alt.Axis(
    title="time (UTC)",
    formatType="utc",
    format={"hours": "%H:%M", "minutes": "%H:%M", "seconds": ":%S"},
)
"""Axis of time; the library's own writes hours without saying which half of the day."""
WIDTH = 680
_INNER_ROLES = re.compile(
    r' (?:role="graphics-[^"]*"|aria-roledescription="[^"]*"|aria-label="[^"]*")'
)
"""The image is described as a whole; a name for each of a thousand dots is noise."""


class Drawing(NamedTuple):
    """A chart with its words and its data table."""

    name: str
    """Identifier in the page."""
    title: str
    description: str
    """What is to be seen, for those who do not see it."""
    svg: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    """What the table leaves out."""


def to_svg(chart: alt.TopLevelMixin, *, name: str, description: str) -> str:
    """Return a chart as SVG for inclusion in HTML.

    Args:
        chart: Any Altair chart.
        name: Prefix for the identifiers inside.
        description: What is to be seen, in words.
    """
    themed = chart.configure(**_config()).configure_view(stroke=None)
    svg = vl_convert.vegalite_to_svg(vl_spec=themed.to_dict())
    for colour, variable in _NAMES.items():
        svg = re.sub(re.escape(colour), f"var(--{variable})", svg, flags=re.IGNORECASE)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    svg = re.sub(r'(xlink:)?href="#([^"]+)"', rf'href="#{name}-\2"', svg)
    svg = _INNER_ROLES.sub("", svg)
    label = escape(description, quote=True)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def to_file_svg(chart: alt.TopLevelMixin) -> str:
    """Return a chart as SVG for a file of its own, with its colours and a ground."""
    themed = chart.configure(**{**_config(), "background": "#ffffff"})
    return vl_convert.vegalite_to_svg(
        vl_spec=themed.configure_view(stroke=None).to_dict()
    )


def _config() -> dict[str, Any]:
    words = {"labelColor": INK, "titleColor": INK, "labelFontSize": 12}
    return {
        "font": "sans-serif",
        "background": "transparent",
        "axis": {
            **words,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
            "gridColor": GRID,
            "domainColor": MUTED,
            "tickColor": MUTED,
        },
        "legend": {**words, "titleFontSize": 12, "orient": "top", "title": None},
        "text": {"color": INK, "fontSize": 12},
    }
