"""The layers charts are put together from: points, limits, freezes.

Rules of this module:

* Shape and colour both tell a result, so that colour alone never has to.
* Times are UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import altair as alt

from sandbox.model.observation import Observation
from sandbox.model.rule import Rule
from sandbox.model.trial import Pause
from sandbox.report.drawing import (
    ALARM,
    CALM,
    CLOCK,
    DOUBT,
    FROZEN,
    INK,
    MUTED,
    WIDTH,
)

Layer = Any
"""A chart that can be laid over another; Altair has no one type for it."""
_RESULTS = ("satisfied", "violated", "not evaluable")


def inline(values: Sequence[dict[str, Any]]) -> alt.InlineData:
    """Return rows as data that stand in the chart itself."""
    return alt.InlineData(values=list(values))


def freezes(pauses: Sequence[Pause], within: tuple[datetime, datetime]) -> list[Layer]:
    """Return shaded stretches for the pauses; an open one ends with the data."""
    values = [
        {
            "from": stamp(pause.paused_at),
            "to": stamp(pause.resumed_at or max(within[1], pause.paused_at)),
            "words": "frozen",
        }
        for pause in pauses
    ]
    if not values:
        return []
    base = alt.Chart(inline(values))
    start = alt.X("from:T", axis=CLOCK, scale=alt.Scale(type="utc"))
    return [
        base.mark_rect(color=FROZEN, opacity=0.8).encode(start, x2="to:T"),
        base.mark_text(align="left", baseline="top", dx=4, dy=4, color=MUTED).encode(
            start, y=alt.value(0), text="words:N"
        ),
    ]


def unit_points(units: Sequence[Observation]) -> Layer:
    """Return one point for each unit: when it started, how long it took."""
    values = [
        {
            "at": stamp(unit.started_at),
            "s": unit.duration_s,
            "result": unit.result.replace("_", " "),
        }
        for unit in units
    ]
    result = alt.Scale(domain=list(_RESULTS), range=[CALM, ALARM, DOUBT])
    shapes = alt.Scale(domain=list(_RESULTS), range=["circle", "cross", "triangle"])
    return (
        alt.Chart(inline(values))
        .mark_point(filled=True, size=26, opacity=0.75)
        .encode(
            alt.X("at:T", axis=CLOCK, scale=alt.Scale(type="utc")),
            alt.Y("s:Q", title="seconds"),
            alt.Color("result:N", scale=result),
            alt.Shape("result:N", scale=shapes),
        )
    )


def limit_lines(units: Sequence[Observation], rule: Rule) -> list[Layer]:
    """Return a line for each time limit the units were judged by."""
    read = {limit_of(unit, rule) for unit in units}
    limits = sorted(limit for limit in read if limit is not None)
    return [level_line(limit, f"limit {limit:g} s") for limit in limits]


def level_line(value: float, words: str) -> Layer:
    """Return a dashed horizontal line with its name."""
    data = inline([{"level": value, "words": words}])
    rule = alt.Chart(data).mark_rule(color=INK, strokeDash=[5, 4])
    text = alt.Chart(data).mark_text(
        align="right", baseline="bottom", dx=-2, dy=-3, color=INK
    )
    return alt.layer(
        rule.encode(y="level:Q"),
        text.encode(y="level:Q", x=alt.value(WIDTH), text="words:N"),
    )


def stamp(at: datetime) -> str:
    """Return an instant as charts read it."""
    return at.isoformat()


def limit_of(unit: Observation, rule: Rule) -> float | None:
    """Return the time limit the rule read for a unit, in seconds; None without one."""
    for name, parameter in rule.parameters.items():
        value = unit.values.get(f"params.{name}")
        if parameter.unit in ("s", "ms") and isinstance(value, int | float):
            return float(value) / (1000 if parameter.unit == "ms" else 1)
    return None
