"""What was seen: spans, what a rule says of one, and breaches of guardrails."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from sandbox.model.record import Digest, Identifier, Instant, Record, TrialId
from sandbox.model.rule import Action, RuleResult


class Span(Record):
    """One OpenTelemetry span, as a rule sees it."""

    trace_id: str
    """32 lower-case hexadecimal digits."""
    span_id: str
    """16 lower-case hexadecimal digits."""
    parent_span_id: str = ""
    name: str
    span_kind: Literal[
        "unspecified", "internal", "server", "client", "producer", "consumer"
    ]
    service: str
    """Resource attribute `service.name`; believed for display, never for identity."""
    start_unix_nano: int
    end_unix_nano: int
    status: Literal["unset", "ok", "error"] = "unset"
    attributes: dict[str, JsonValue] = Field(default_factory=dict)
    resource: dict[str, JsonValue] = Field(default_factory=dict)

    @property
    def duration_s(self) -> float:
        """Seconds from start to end."""
        return (self.end_unix_nano - self.start_unix_nano) / 1e9


class Observation(Record):
    """What one rule says of one span: the unit of judgement."""

    kind: Literal["observation"] = "observation"
    trial_id: TrialId
    rule: Identifier
    result: RuleResult
    overlay: str = ""
    """Label of the overlay that applied; empty when the base rule did."""
    rulebook_version: int
    trace_id: str
    span_id: str
    started_at: Instant
    duration_s: float
    values: dict[str, JsonValue] = Field(default_factory=dict)
    """What the rule read: attribute values and parameters."""
    reason: str = ""
    """Why it is not evaluable, when it is not."""
    segment: int
    frame: int
    """Where the span lies in the evidence: segment number, frame number from 0."""


class RecorderOutage(Record):
    """The recorder was off for longer than the trial allows, so the trial is paused."""

    kind: Literal["recorder-outage"] = "recorder-outage"
    trial_id: TrialId
    condition: Identifier
    """The condition that no longer held."""
    cause: str
    """In words for a person."""
    since: Instant
    detected_at: Instant
    limit_s: float
    """How long it may be off, in seconds: the plan's settling time."""


class Breach(Record):
    """The observation with which a guardrail signalled."""

    kind: Literal["breach"] = "breach"
    trial_id: TrialId
    guardrail: Identifier
    action: Action
    events: int
    units: int
    expected: float
    """Events expected among `units` at the baseline rate."""
    llr: float
    threshold: float
    first_signal: Observation
    detected_at: Instant
    data_digest: Digest | None = None
