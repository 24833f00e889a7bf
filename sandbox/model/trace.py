"""Questions about recorded spans, and answers that say where each span lies.

Rules of this module:

* An answer names the evidence it was drawn from: the digest of every segment that was
  looked at, so that the same question can be asked again of the same bytes.
* A span carries its place (segment, frame, number in the frame): from there it can be
  disclosed and proven.
"""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, JsonValue

from sandbox.model.observation import Span
from sandbox.model.record import Digest, Identifier, Instant, Record, TrialId
from sandbox.model.rule import RuleResult

_TRACE_ID = r"[0-9a-f]{32}"


def is_trace_id(text: str) -> bool:
    """Return whether a text is a trace id as it is recorded: 32 lower-case digits."""
    return re.fullmatch(_TRACE_ID, text) is not None


class SpanEvent(Record):
    """Something that happened at one moment of a span."""

    name: str
    unix_nano: int
    attributes: dict[str, JsonValue] = Field(default_factory=dict)


class SpanLink(Record):
    """A span's reference to another span."""

    trace_id: str
    span_id: str
    attributes: dict[str, JsonValue] = Field(default_factory=dict)


class SpanVerdict(Record):
    """What one rule says of one span."""

    rule: Identifier
    result: RuleResult
    overlay: str = ""
    """Label of the exception that held; empty where the rule itself did."""
    rulebook_version: int
    reason: str = ""
    """Why it is not evaluable, when it is not."""


class RecordedSpan(Record):
    """One delivery of a span, with its place in the evidence."""

    kind: Literal["recorded-span"] = "recorded-span"
    span: Span
    status_message: str = ""
    scope: str = ""
    """Name of the instrumentation scope."""
    events: tuple[SpanEvent, ...] = ()
    links: tuple[SpanLink, ...] = ()
    producer: str
    """Whom the token named."""
    received_at: Instant
    segment: int
    frame: int
    """Number of the frame in its segment, from 0."""
    number: int
    """Number of the span in its frame, from 0."""
    verdicts: tuple[SpanVerdict, ...] = ()


class AttributeTest(Record):
    """An attribute a span must have; of the span itself, or of its resource."""

    key: str
    value: str | int | float | bool | None = None
    """Equal in type and value, NaN to nothing; None asks only that it is there. Lists,
    maps and bytes are found only by being there."""


class SpanQuestion(Record):
    """Which spans are asked for: every field that is set must hold."""

    trace_id: str = Field("", pattern=rf"^({_TRACE_ID})?$")
    service: str = ""
    operation: str = ""
    """Name of the span."""
    min_duration_s: float | None = None
    max_duration_s: float | None = None
    attributes: tuple[AttributeTest, ...] = ()
    rule: str = ""
    """Only spans this rule speaks of."""
    result: RuleResult | None = None
    """Only spans of which `rule`, or any rule, says this."""
    since: Instant | None = None
    """Spans that started then or later."""
    until: Instant | None = None
    """Spans that started before."""
    limit: int = Field(20, ge=1, le=10_000)


class SegmentDigest(Record):
    """One segment an answer was drawn from."""

    number: int
    raw_digest: Digest


class SpanAnswer(Record):
    """The spans found, and the evidence that was searched."""

    kind: Literal["span-answer"] = "span-answer"
    trial_id: TrialId
    spans: tuple[RecordedSpan, ...]
    """In order of start, ties by trace and span id, then by place."""
    more: bool
    """Whether there are more than the limit."""
    evidence: tuple[SegmentDigest, ...]
    unsealed: int = 0
    """Segments of the trial that are not sealed yet, and were not searched."""
    erased: int = 0
    """Segments whose bytes were erased: nothing of them can be found."""
    engine: str
    """Name and version of what answered, such as `duckdb 2.0.0`."""


class SqlAnswer(Record):
    """Rows of one SQL statement, and the evidence it was asked of."""

    kind: Literal["sql-answer"] = "sql-answer"
    trial_id: TrialId
    statement: str
    columns: tuple[str, ...]
    rows: tuple[tuple[JsonValue, ...], ...]
    more: bool
    evidence: tuple[SegmentDigest, ...]
    unsealed: int = 0
    """Segments of the trial that are not sealed yet, and were not searched."""
    erased: int = 0
    """Segments whose bytes were erased: nothing of them can be found."""
    engine: str
