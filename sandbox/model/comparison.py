"""What each recorded span is under one version of the rules, and under another.

Rules of this module:

* Spans are counted by both at once: two counts, each by itself, do not say how many
  changed.
* A rule that one of the two versions has not is asked of no span there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from pydantic import Field

from sandbox.model.backtest import BacktestEvidence, EvidenceTimes
from sandbox.model.record import Digest, Identifier, Record, TrialId
from sandbox.model.rule import Rulebook, TemporaryRule

Standing = Literal["satisfied", "violated", "not_evaluable", "not_under"]
"""What a rule says of a span; `not_under`: it does not apply, is waived, or is none."""


class Side(Record):
    """One version of the rules: a rulebook, and the exceptions of the trial over it."""

    rulebook: Rulebook
    overlay: TemporaryRule | None = None


class Comparison(Record):
    """Two versions of the rules, to be asked of the recorded spans of one trial."""

    kind: Literal["comparison"] = "comparison"
    trial_id: TrialId
    before: Side
    after: Side
    rules: tuple[Identifier, ...] = Field(min_length=1)
    """Each is a rule of at least one side."""
    times: EvidenceTimes | None = None
    """Of which times all spans are known; None: all up to the last span."""


class Shift(Record):
    """How many spans are one thing before, and one after; both may be the same."""

    before: Standing
    after: Standing
    units: int


class RuleShifts(Record):
    """Every span of a trial, by what one rule says of it before and after."""

    rule: Identifier
    shifts: tuple[Shift, ...]
    """Those with spans, in the order of `Standing`."""
    singly: int = 0
    """How many of the spans were judged span by span, since SQL could not tell."""
    statements: tuple[str, ...] = ()
    """What SQL gave of each span: eight times the number of before plus that of after,
    as in `BacktestAnswer.statements`."""


class ComparisonAnswer(Record):
    """The figures, and everything they follow from."""

    kind: Literal["comparison-answer"] = "comparison-answer"
    rules: tuple[RuleShifts, ...]
    """In the order asked."""
    before_digest: Digest
    """Of everything that judged: rules and exceptions."""
    after_digest: Digest
    evidence: BacktestEvidence
    data_digest: Digest
    engine: str


def shifts_of(counted: Mapping[tuple[Standing, Standing], int]) -> tuple[Shift, ...]:
    """Return counts by (before, after) as shifts, in the order of `Standing`."""
    order: tuple[Standing, ...] = get_args(Standing)
    return tuple(
        Shift(before=before, after=after, units=counted[before, after])
        for before in order
        for after in order
        if counted.get((before, after))
    )
