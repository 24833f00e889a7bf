"""One trace as a page: its waterfall, what the rules say of each span, and the proof.

Rules of this module:

* The rules of `sandbox.report.html`: no scripts, nothing from outside, all escaped.
* Every bar stands in a row of a table that says the same in figures.
* What a rule read is shown beside what it says; nothing is judged here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from pydantic import JsonValue

from sandbox import __version__
from sandbox.model.rule import RuleResult
from sandbox.model.trace import RecordedSpan, SegmentDigest, SpanAnswer
from sandbox.query.waterfall import Waterfall, WaterfallRow, start_of, waterfall
from sandbox.query.wording import MARKS, duration_words, oddities, place_words
from sandbox.report.html import TEMPLATES
from sandbox.report.reading import Readings, RuleReading

_WORDS: Mapping[RuleResult, str] = {
    "satisfied": "satisfied",
    "violated": "violated",
    "not_evaluable": "not evaluable",
}
_ORDER: tuple[RuleResult, ...] = ("violated", "not_evaluable", "satisfied")
_TICKS = 4


class TraceStory(NamedTuple):
    """One trace, and what is needed to understand and to prove it."""

    trace_id: str
    answer: SpanAnswer
    """Every recorded span of it."""
    readings: Readings
    """May be empty; then nothing is said of what the rules read."""
    written_at: datetime


class _Verdict(NamedTuple):
    """What a rule says of one delivery, ready to be shown."""

    result: RuleResult
    word: str
    rule: str
    version: int
    text: str
    anchor: str
    span: str
    why: str


class _Row(NamedTuple):
    """One row of the waterfall, ready to be shown."""

    anchor: str
    drawn: WaterfallRow
    at: str
    took: str
    left: str
    """Where the bar begins, in per cent of the trace."""
    width: str
    odd: str
    verdicts: tuple[_Verdict, ...]
    facts: tuple[tuple[str, str], ...]
    """Attributes and the like, as names and values."""


def render_trace(story: TraceStory) -> str:
    """Render one trace as one HTML document.

    Args:
        story: The trace; one without spans gives a page that says so.

    Returns:
        A complete HTML document without scripts or outside references.
    """
    drawn = waterfall(story.answer.spans)
    rows = [_row(row, story) for row in drawn.rows]
    verdicts = [item for row in rows for item in row.verdicts]
    verdicts.sort(key=lambda item: _ORDER.index(item.result))
    used = {row.recorded.segment for row in drawn.rows}
    return TEMPLATES.get_template("trace.html.j2").render(
        story=story,
        version=__version__,
        headline=_headline(drawn, verdicts),
        start=f"{start_of(drawn.scale):%H:%M:%S.%f}"[:-3],
        day=f"{start_of(drawn.scale):%Y-%m-%d}, UTC",
        length=duration_words(drawn.scale.length_ns),
        ticks=_ticks(drawn),
        rows=rows,
        services=len({row.recorded.span.service for row in drawn.rows}),
        verdicts=verdicts,
        odd=[row for row in rows if row.odd],
        segments=_segments(story.answer, used),
        others=len(story.answer.evidence) - len(used),
    )


def _row(row: WaterfallRow, story: TraceStory) -> _Row:
    recorded = row.recorded
    span = recorded.span
    verdicts = tuple(_verdicts(recorded, story))
    return _Row(
        anchor=_anchor(recorded),
        drawn=row,
        at=duration_words(row.offset_ns),
        took=duration_words(span.end_unix_nano - span.start_unix_nano),
        left=f"{row.left * 100:.3f}",
        width=f"{0 if row.is_off_scale else row.width * 100:.3f}",
        odd=", ".join(oddities(row)),
        verdicts=verdicts,
        facts=tuple(_facts(recorded)),
    )


def _anchor(recorded: RecordedSpan) -> str:
    return f"span-{recorded.segment}-{recorded.frame}-{recorded.number}"


def _verdicts(recorded: RecordedSpan, story: TraceStory) -> Iterator[_Verdict]:
    for item in recorded.verdicts:
        key = (place_words(recorded), item.rule)
        reading = story.readings.get(key, RuleReading())
        read = [f"{name} = {_text(value)}" for name, value in reading.values.items()]
        exception = [f"under the exception {item.overlay}"] if item.overlay else []
        yield _Verdict(
            result=item.result,
            word=f"{MARKS[item.result]} {_WORDS[item.result]}",
            rule=item.rule,
            version=item.rulebook_version,
            text=reading.text,
            anchor=_anchor(recorded),
            span=f"{recorded.span.service or '–'}: {recorded.span.name}",
            why="; ".join([*([item.reason] if item.reason else []), *exception, *read]),
        )


def _facts(recorded: RecordedSpan) -> Iterator[tuple[str, str]]:
    span = recorded.span
    yield "span id", span.span_id
    yield "parent", span.parent_span_id or "none"
    yield "kind", span.span_kind
    if recorded.status_message:
        yield "status message", recorded.status_message
    yield "producer", recorded.producer
    yield "received", f"{recorded.received_at:%Y-%m-%d %H:%M:%S.%f} UTC"
    if recorded.scope:
        yield "scope", recorded.scope
    for name, value in span.attributes.items():
        yield name, _text(value)
    for name, value in span.resource.items():
        yield f"resource {name}", _text(value)
    for event in recorded.events:
        after = duration_words(event.unix_nano - span.start_unix_nano)
        yield f"event after {after}", f"{event.name} {_text(event.attributes)}"
    for link in recorded.links:
        yield "link", f"{link.trace_id} {link.span_id} {_text(link.attributes)}"


def _text(value: JsonValue | dict[str, JsonValue]) -> str:
    return json.dumps(value, ensure_ascii=False)


def _ticks(drawn: Waterfall) -> list[tuple[int, str]]:
    """Return marks of the time axis: per cent of the scale, and the time there."""
    length = drawn.scale.length_ns
    return [
        (100 * part // _TICKS, duration_words(length * part // _TICKS))
        for part in range(_TICKS + 1)
    ]


def _headline(drawn: Waterfall, verdicts: list[_Verdict]) -> str:
    if not drawn.rows:
        return "No span of this trace is in the evidence that was searched."
    counts = {key: sum(item.result == key for item in verdicts) for key in _ORDER}
    said = [f"{_WORDS[key]} {_times(counts[key])}" for key in _ORDER if counts[key]]
    if not said:
        return "No rule speaks of any span of this trace."
    return f"What the rules say of its spans: {', '.join(said)}."


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _segments(answer: SpanAnswer, used: set[int]) -> list[SegmentDigest]:
    return [item for item in answer.evidence if item.number in used]
