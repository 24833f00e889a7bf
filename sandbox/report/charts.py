"""The charts of the report, each with the table of what it draws.

Rules of this module:

* Everything drawn comes from records; times are UTC.
* Violations are never thinned out; of the rest, at most some hundreds are drawn and at
  most two hundred listed, and the note says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import altair as alt

from sandbox.findings import units_of
from sandbox.model.finding import Look
from sandbox.model.observation import Observation
from sandbox.model.rule import Rule
from sandbox.report.drawing import ALARM, BAND, CALM, CLOCK, WIDTH, Drawing, to_svg
from sandbox.report.layers import (
    Layer,
    freezes,
    inline,
    level_line,
    limit_lines,
    limit_of,
    stamp,
    unit_points,
)
from sandbox.report.story import TrialStory

_DRAWN, _LISTED = 1500, 200
T = TypeVar("T")


def latency_chart(story: TrialStory, rule: Rule) -> Drawing | None:
    """Draw the duration of every unit of a rule against its limit, freezes marked.

    Returns:
        The drawing; None where nothing was observed under the rule.
    """
    units = units_of(rule.rule, story.observations)
    if not units:
        return None
    shown = thin(units, _DRAWN, [unit.result != "satisfied" for unit in units])
    layers: list[Layer] = [
        *freezes(story.pauses, (units[0].started_at, units[-1].started_at)),
        unit_points(shown),
        *limit_lines(shown, rule),
    ]
    bad = sum(unit.result == "violated" for unit in units)
    described = (
        f"Duration of {len(units)} units over time; {bad} of them, shown as crosses,"
        f" violate {rule.rule}. The dashed line is the limit; shaded stretches are"
        " those in which the environment was frozen."
    )
    chart = alt.layer(*layers).properties(width=WIDTH, height=240)
    listed = thin(units, _LISTED, [unit.result != "satisfied" for unit in units])
    return Drawing(
        name="latency",
        title="How long each unit took, against the limit",
        description=described,
        svg=to_svg(chart, name="latency", description=described),
        columns=("Started (UTC)", "Duration", "Limit", "Result", "Span"),
        rows=tuple(_unit_row(unit, rule) for unit in listed),
        note=_note(len(listed), len(units), "units"),
    )


def confidence_chart(looks: Sequence[Look]) -> Drawing | None:
    """Draw how the interval for a goal shrinks with every look."""
    drawn = [look for look in looks if look.bounds is not None]
    if not drawn:
        return None
    threshold = drawn[-1].threshold or 0.0
    data = inline([_look_point(look) for look in drawn])
    x = alt.X("units:Q", title="units seen", scale=alt.Scale(nice=False))
    low, written = _axis_of(drawn[-1])
    layers: list[Layer] = [
        alt.Chart(data).mark_area(color=BAND, opacity=0.6).encode(x, low, y2="upper:Q"),
        alt.Chart(data).mark_line(color=CALM, strokeWidth=2).encode(x, y="estimate:Q"),
        level_line(threshold, f"threshold {written(threshold)}"),
    ]
    last = drawn[-1]
    assert last.bounds is not None
    described = (
        f"After {drawn[0].counts.units} units the interval for {last.subject} is wide;"
        f" after {last.counts.units} it reaches from {written(last.bounds.lower)}"
        f" to {written(last.bounds.upper)}. The threshold is {written(threshold)}."
    )
    name = f"confidence-{last.subject.replace('/', '-')}"
    chart = alt.layer(*layers).properties(width=WIDTH, height=220)
    return Drawing(
        name=name,
        title=f"How sure one could be of {last.subject}, look by look",
        description=described,
        svg=to_svg(chart, name=name, description=described),
        columns=("Look", "Units", "In order", "Not evaluable", "Estimate", "Interval"),
        rows=tuple(_look_row(look, written) for look in drawn[-_LISTED:]),
        note=_note(min(len(drawn), _LISTED), len(drawn), "looks"),
    )


def guardrail_chart(story: TrialStory, looks: Sequence[Look]) -> Drawing | None:
    """Draw the log-likelihood ratio of a guardrail against its threshold."""
    if not looks or looks[-1].threshold is None:
        return None
    subject, threshold = looks[-1].subject, looks[-1].threshold
    layers: list[Layer] = [
        *freezes(story.pauses, (looks[0].at, looks[-1].at)),
        *_statistic(looks, threshold),
        level_line(threshold, f"signal at {threshold:.2f}"),
    ]
    signals = sum(look.signalled for look in looks)
    described = (
        f"The statistic of {subject} over time. It signals at {threshold:.2f};"
        f" {'it did' if signals else 'it never did'}. Shaded stretches are freezes,"
        " after which the watch begins afresh."
    )
    name = f"guardrail-{subject.replace('/', '-')}"
    chart = alt.layer(*layers).properties(width=WIDTH, height=200)
    listed = thin(looks, _LISTED, [look.signalled for look in looks])
    return Drawing(
        name=name,
        title=f"The guardrail {subject}, look by look",
        description=described,
        svg=to_svg(chart, name=name, description=described),
        columns=("Look", "Time (UTC)", "Units", "Harmful", "LLR", "Signal"),
        rows=tuple(_harm_row(look) for look in listed),
        note=_note(len(listed), len(looks), "looks"),
    )


def thin(items: Sequence[T], most: int, keep: Sequence[bool]) -> list[T]:
    """Return at most about `most` items: those to keep, and evenly some of the rest."""
    rest = [index for index, kept in enumerate(keep) if not kept]
    room = max(most - (len(items) - len(rest)), min(len(rest), most // 10))
    stride = max(1, -(-len(rest) // room)) if room else len(rest) + 1
    chosen = set(rest[::stride])
    return [item for index, item in enumerate(items) if keep[index] or index in chosen]


def _statistic(looks: Sequence[Look], threshold: float) -> list[Layer]:
    """The statistic as steps, with a cross where it has signalled."""
    drawn = [(look, look.llr) for look in looks if look.llr is not None]
    data = inline(
        [
            {"at": stamp(look.at), "llr": llr, "signal": look.signalled}
            for look, llr in drawn
        ]
    )
    top = 1.2 * max([threshold, *(llr for _, llr in drawn)])
    at = alt.X("at:T", axis=CLOCK, scale=alt.Scale(type="utc"))
    llr = alt.Y("llr:Q", title="log-likelihood ratio", scale=alt.Scale(domain=[0, top]))
    steps = alt.Chart(data).mark_line(
        color=CALM, strokeWidth=2, interpolate="step-after"
    )
    crosses = alt.Chart(data).mark_point(
        shape="cross", color=ALARM, filled=True, size=70, angle=45
    )
    return [
        steps.encode(at, llr),
        crosses.encode(at, llr).transform_filter("datum.signal"),
    ]


def _axis_of(look: Look) -> tuple[alt.Y, Callable[[float], str]]:
    """Return the axis of what a look measured, and how its values are written."""
    if look.measure == "mean":
        return alt.Y("lower:Q", title="mean"), lambda value: f"{value:.4g}"
    axis = alt.Y(
        "lower:Q",
        title="proportion",
        axis=alt.Axis(format="%"),
        scale=alt.Scale(domain=_window(look.threshold or 0.0), clamp=True),
    )
    return axis, lambda value: f"{value * 100:.4g}%"


def _window(threshold: float) -> list[float]:
    """Proportions worth seeing: from far on the wrong side to the end of the right."""
    if threshold >= 0.5:
        return [max(0.0, 1 - 4 * (1 - threshold)), 1.0]
    return [0.0, min(1.0, 4 * threshold)]


def _look_point(look: Look) -> dict[str, Any]:
    assert look.bounds is not None
    return {
        "units": look.counts.units,
        "lower": look.bounds.lower,
        "upper": look.bounds.upper,
        "estimate": look.estimate,
    }


def _unit_row(unit: Observation, rule: Rule) -> tuple[str, ...]:
    limit = limit_of(unit, rule)
    return (
        f"{unit.started_at:%H:%M:%S.%f}"[:-3],
        f"{unit.duration_s:.3f} s",
        "–" if limit is None else f"{limit:g} s",
        unit.result.replace("_", " "),
        unit.span_id,
    )


def _look_row(look: Look, written: Callable[[float], str]) -> tuple[str, ...]:
    assert look.bounds is not None
    return (
        str(look.number),
        str(look.counts.units),
        str(look.counts.satisfied),
        str(look.counts.not_evaluable),
        "–" if look.estimate is None else written(look.estimate),
        f"{written(look.bounds.lower)} – {written(look.bounds.upper)}",
    )


def _harm_row(look: Look) -> tuple[str, ...]:
    return (
        str(look.number),
        f"{look.at:%H:%M:%S.%f}"[:-3],
        str(look.counts.units),
        str(look.counts.violated),
        "–" if look.llr is None else f"{look.llr:.3f}",
        "signal" if look.signalled else "",
    )


def _note(listed: int, all_: int, what: str) -> str:
    if listed >= all_:
        return ""
    return (
        f"{listed} of {all_} {what} are listed: every one out of the ordinary, and"
        " evenly spaced ones of the rest. The evidence bundle holds all."
    )
