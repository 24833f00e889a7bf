"""What the evidence says: looks, verdicts, findings, the exit report."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from sandbox.model.record import Digest, Identifier, Instant, Record, TrialId
from sandbox.model.rule import RulebookRef
from sandbox.model.segment import Completeness
from sandbox.model.trial import Pause

Verdict = Literal["met", "not_met", "harm", "inconclusive", "invalid"]
"""met, not met: the interval lies wholly on one side of the threshold. harm: a
guardrail signalled. inconclusive: not enough evidence. invalid: the plan or the
evidence broke."""


class Counts(Record):
    """Units by result."""

    satisfied: int = 0
    violated: int = 0
    not_evaluable: int = 0

    @property
    def units(self) -> int:
        """All units, evaluable or not."""
        return self.satisfied + self.violated + self.not_evaluable


Measure = Literal["proportion", "mean", "difference"]
"""What estimate, bounds and threshold speak of: a share of units, the mean of a value
in its own unit, or the difference of two arms' shares."""


def _added(default: Any) -> Any:
    """Return a field that is left out where it has the value that is usual."""
    return Field(default=default, exclude_if=lambda value: value == default)


class Bounds(Record):
    """An interval for what is measured, valid under the looking its design allows.

    For a proportion both limits lie inside [0, 1].
    """

    lower: float
    upper: float


class PosteriorShares(Record):
    """What one may believe of a proportion after the units, beginning with Jeffreys.

    Described beside a verdict; no verdict rests on it.
    """

    least: float
    """Lower end of the region of practical equivalence."""
    most: float
    below: float
    """Chance that the proportion lies below the region."""
    within: float
    above: float


class Look(Record):
    """One evaluation of a locked plan on the data so far."""

    kind: Literal["look"] = "look"
    trial_id: TrialId
    number: int
    subject: Identifier
    """The goal or guardrail looked at."""
    purpose: Literal["goal", "harm"]
    counts: Counts
    estimate: float | None
    bounds: Bounds | None = None
    """For goals; missing counted against the claim in `lower`, for it in `upper`."""
    llr: float | None = None
    """For guardrails; None between the looks of a grouped one, when none is tested."""
    threshold: float | None = None
    signalled: bool = False
    data_digest: Digest
    """Over the observations looked at, in order."""
    code_version: str
    at: Instant
    measure: Measure = _added("proportion")


class Finding(Record):
    """A conclusion about a goal or harm, citing its observations."""

    kind: Literal["finding"] = "finding"
    finding: str
    """`F-1`, `F-2` … within the trial."""
    trial_id: TrialId
    subject: Identifier
    purpose: Literal["goal", "harm"]
    rule: Identifier
    verdict: Verdict
    statement: str
    """The conclusion in words, with its figures."""
    limits: tuple[str, ...]
    """What this does not show."""
    counts: Counts
    missing: int = 0
    """Units that may have been lost on the way, at most, as far as losses are known;
    in `bounds` they are counted against the claim in one limit and for it in the
    other."""
    estimate: float | None
    bounds: Bounds | None
    alpha: float
    threshold: float
    looks: int
    plan_digest: Digest
    data_digest: Digest
    rulebook: RulebookRef
    exploratory: bool = False
    measure: Measure = _added("proportion")
    log_evalue: float | None = _added(None)
    """Natural log of the evidence for the claim of a goal, missing units counted
    against it; None where the verdict is invalid, and for harms."""
    posterior: PosteriorShares | None = _added(None)


class ConditionKept(Record):
    """Whether one condition was kept, and how that is known."""

    condition: Identifier
    kept: bool | None
    """None: a person has to say."""
    evidence: str


class ExitReport(Record):
    """What the trial did and showed (EU AI Act Art. 57(7))."""

    kind: Literal["exit-report"] = "exit-report"
    trial_id: TrialId
    author: Literal["participant", "authority"]
    tried: str
    rulebook: RulebookRef
    temporary_rule_digest: Digest
    started_at: Instant
    ended_at: Instant
    pauses: tuple[Pause, ...]
    conditions: tuple[ConditionKept, ...]
    findings: tuple[Finding, ...]
    uncertain: tuple[str, ...]
    completeness: Completeness | None = None
    """What is known to be missing of the evidence; None in reports that did not ask."""
    evidence: dict[str, Digest]
    how_to_verify: str
