"""Recorded spans to look at: single ones, and a small trace with everything in it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sandbox.model.observation import Span
from sandbox.model.trace import RecordedSpan, SpanVerdict

TRACE = "5b8efff798038103d269b633813fc60c"
"""The trace every span made here belongs to."""
BEGAN_NS = 1_767_225_600_000_000_000
"""2026-01-01 00:00 UTC, when the trace begins."""
RECEIVED_AT = datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC)
_MS = 1_000_000


def recorded_span(
    span_id: str,
    *,
    parent: str = "",
    ms: tuple[float, float] = (0, 100),
    number: int = 0,
    **more: Any,
) -> RecordedSpan:
    """Return a delivery of a span.

    Args:
        span_id: Its id, filled up to 16 digits.
        parent: Id of its parent, filled up likewise; empty for a root.
        ms: Start and end, in milliseconds after the trace began.
        number: Its place in the first frame.
        more: Further fields, of the delivery or of the span itself.
    """
    own = {name: more.pop(name) for name in list(more) if name in Span.model_fields}
    span = {
        "trace_id": TRACE,
        "span_id": span_id.zfill(16),
        "parent_span_id": parent.zfill(16) if parent else "",
        "name": f"operation {span_id}",
        "span_kind": "internal",
        "service": "dispatch",
        "start_unix_nano": BEGAN_NS + round(ms[0] * _MS),
        "end_unix_nano": BEGAN_NS + round(ms[1] * _MS),
        **own,
    }
    place = {"segment": 1, "frame": 0, "number": number, "received_at": RECEIVED_AT}
    return RecordedSpan.model_validate(
        {"producer": "hotrod", **place, **more, "span": span}
    )


def verdict(rule: str, result: str, reason: str = "") -> SpanVerdict:
    """Return what a rule of version 1 says."""
    said = {"rule": rule, "result": result, "reason": reason, "rulebook_version": 1}
    return SpanVerdict.model_validate(said)


def odd_trace() -> list[RecordedSpan]:
    """Return a trace with every oddity that deliveries of telemetry can have.

    A root with two children, one of them below another; a span delivered twice, one
    with two contents, an orphan, two spans that are each other's parents, a clock that
    is a second slow, a start that was never set.
    """
    late = verdict("dispatch/offer-time", "violated")
    kept = verdict("dispatch/offer-time", "satisfied")
    open_ = verdict("dispatch/fare", "not_evaluable", "span.attributes.fare is missing")
    return [
        recorded_span("1", ms=(0, 200), name="GET /dispatch", service="frontend"),
        recorded_span("2", parent="1", ms=(10, 120), number=1, verdicts=(late, open_)),
        recorded_span("3", parent="2", ms=(20, 60), number=2, service="driver"),
        recorded_span("3", parent="2", ms=(20, 60), number=3, service="driver"),
        recorded_span("4", parent="1", ms=(130, 180), number=4, verdicts=(kept,)),
        recorded_span("4", parent="1", ms=(130, 190), number=5, status="error"),
        recorded_span("5", parent="99", ms=(40, 50), number=6, service="route"),
        recorded_span("6", parent="7", ms=(60, 70), number=7),
        recorded_span("7", parent="6", ms=(60, 70), number=8),
        recorded_span("8", parent="4", ms=(-870, -860), number=9, service="slow-clock"),
        recorded_span("9", parent="1", number=10, start_unix_nano=0),
    ]
