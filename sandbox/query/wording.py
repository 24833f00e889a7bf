"""Words and marks for what is found in a trace, the same in every drawing of it."""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.model.rule import RuleResult
from sandbox.model.trace import RecordedSpan
from sandbox.query.waterfall import Standing, WaterfallRow

MARKS: Mapping[RuleResult, str] = {
    "satisfied": "✓",
    "violated": "✗",
    "not_evaluable": "?",
}
"""Rule result → the sign that stands for it."""
_STANDINGS: Mapping[Standing, str] = {
    "orphan": "parent not recorded",
    "loop": "its own ancestor",
    "duplicate": "delivered again",
    "conflict": "delivered with other content",
}
_UNITS = (
    ("d", 86_400_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("µs", 1_000),
)


def duration_words(nanos: int) -> str:
    """Return a length of time for a person, in about three figures."""
    for unit, size in _UNITS:
        if abs(nanos) >= size:
            figures = max(3 - len(str(abs(nanos) // size)), 0)
            return f"{nanos / size:,.{figures}f} {unit}"
    return f"{nanos} ns" if nanos else "0"


def counted(number: int, thing: str) -> str:
    """Return a number of things: `1 span`, `2 spans`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def oddities(row: WaterfallRow) -> list[str]:
    """Return in words what is unusual about a delivery; empty where nothing is."""
    said = [_STANDINGS[row.standing]] if row.standing in _STANDINGS else []
    if row.is_before_parent:
        said.append("began before its parent")
    if row.is_off_scale:
        said.append("off the scale")
    return said


def place_words(recorded: RecordedSpan) -> str:
    """Return where a delivery lies: segment/frame/number; the last two from 0."""
    return f"{recorded.segment}/{recorded.frame}/{recorded.number}"
