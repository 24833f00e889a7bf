"""What a version of a rulebook says of spans that were recorded under another.

Rules of this module:

* A figure can be run again: the question names rulebook and overlays in full, the
  answer the digest of every segment that was read.
* What is counted are recorded spans, as they were delivered: one that a producer sent
  twice counts twice. By a rule about the order of spans it counts once; its copies are
  not under the rule.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sandbox.model.record import Digest, Identifier, Record, TrialId
from sandbox.model.rule import Rulebook, TemporaryRule
from sandbox.model.trace import SegmentDigest


class EvidenceTimes(Record):
    """Of which times all spans of a trial are known; for rules about their order.

    All times are in nanoseconds, instants since 1970.
    """

    until_ns: int
    """Spans that start earlier have come."""
    settling_ns: int = 0
    """A trace in which no span started for so long has ended."""
    gaps: tuple[tuple[int, int], ...] = ()
    """Stretches (first, last) in which spans may have started that never came."""


class Backtest(Record):
    """Rules to be asked of recorded spans."""

    kind: Literal["backtest"] = "backtest"
    rulebook: Rulebook
    trials: tuple[TrialId, ...] = Field(min_length=1)
    overlays: dict[str, TemporaryRule] = Field(default_factory=dict)
    """By trial; where a trial has none, the rulebook alone is asked."""
    rules: tuple[Identifier, ...] = ()
    """Only these rules; empty for all."""
    times: dict[str, EvidenceTimes] = Field(default_factory=dict)
    """By trial; where a trial has none, all is known up to its last span."""
    violations: int = Field(0, ge=0, le=100_000)
    """How many violating spans to name, of each rule and trial."""


class BacktestCount(Record):
    """What one rule says of the spans of one trial."""

    trial_id: TrialId
    rule: Identifier
    satisfied: int = 0
    violated: int = 0
    not_evaluable: int = 0
    not_under: int = 0
    """Spans to which the rule does not apply, or for which it is waived."""
    singly: int = 0
    """How many of these were judged span by span, since SQL could not tell."""
    reasons: tuple[str, ...] = ()
    """Parts of the rule that are not put into SQL, with their places."""


class ViolatingSpan(Record):
    """A span that violates a rule, and its place in the evidence."""

    trial_id: TrialId
    rule: Identifier
    trace_id: str
    span_id: str
    segment: int
    frame: int
    number: int


class BacktestEvidence(Record):
    """What was read of one trial."""

    trial_id: TrialId
    segments: tuple[SegmentDigest, ...]
    unsealed: int = 0
    erased: int = 0


class BacktestAnswer(Record):
    """The figures, and everything they follow from."""

    kind: Literal["backtest-answer"] = "backtest-answer"
    counts: tuple[BacktestCount, ...]
    """By trial, then in rulebook order."""
    violations: tuple[ViolatingSpan, ...] = ()
    """In order of trial, rule and place."""
    rulebook_digest: Digest
    rules_digests: dict[str, Digest]
    """Of everything that judged, by trial: rules and exceptions."""
    evidence: tuple[BacktestEvidence, ...]
    data_digest: Digest
    """Of the evidence above: the digest of every segment that was read."""
    statements: tuple[str, ...]
    """What SQL gave of each span: 0 not under the rule, 1 satisfied, 2 violated, 3 not
    evaluable, 4 judged by itself. Of a rule about the order of spans: of which span it
    gave which of them; files stand as `segments_1_to_9`."""
    engine: str
