"""From findings to law: proposals, consultations, comments, dispositions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sandbox.model.finding import Counts
from sandbox.model.impact import FigureSource, ImpactStatement, TrialChoice
from sandbox.model.party import Actor
from sandbox.model.record import Digest, Identifier, Instant, Interval, Record
from sandbox.model.rule import Amendment, Mechanism, RulebookRef

Support = Literal["supported", "censored", "extrapolated"]
"""supported: the behaviour was seen under a rule at least that loose. censored: the
rule itself prevented it. extrapolated: never required of anyone."""


class SupportLabel(Record):
    """How far the evidence of one stratum reaches for one candidate value."""

    parameter: str
    value: float
    label: Support | None
    """None: nothing can be said, for the reason given."""
    reason: str
    rule: str = ""
    """The rule that has the parameter; empty in older records."""
    units: int = 0
    """Recorded units under the rule, whatever the value in force."""
    counts: Counts = Counts()
    """The same units judged anew with the candidate value."""
    source: FigureSource | None = None
    """None where nothing was asked, and in older records."""


class Alternative(Record):
    """Another way to reach the goal, with what speaks for and against it."""

    mechanism: Mechanism | Literal["no-change"]
    description: str
    reasons: str


class RedlinePart(Record):
    """One part of a rule that changes: its words, a condition, a dated value."""

    part: str
    now: str
    """Empty where there is none."""
    proposed: str


class RedlineRow(Record):
    """One row of the comparison table: what is, what would be, and why."""

    rule: Identifier
    now: str
    proposed: str
    because: str
    parts: tuple[RedlinePart, ...] = ()
    """The same, part by part, with what machines read; empty in older records."""


class RevisionProposal(Record):
    """Amendments with findings as grounds."""

    kind: Literal["proposal"] = "proposal"
    proposal: str
    """`P-1`, `P-2` … within the rulebook."""
    amends: RulebookRef
    amendments: tuple[Amendment, ...]
    """Empty means: no change, with reasons."""
    reasons: tuple[str, ...]
    grounds: tuple[str, ...]
    support: tuple[SupportLabel, ...] = ()
    queries: dict[Digest, str] = Field(default_factory=dict)
    """Text of every question behind the labels, by its digest."""
    alternatives: tuple[Alternative, ...]
    redline: tuple[RedlineRow, ...]
    proposed_at: Instant


class Comment(Record):
    """What someone said on a proposal."""

    kind: Literal["comment"] = "comment"
    comment_id: str
    by: Actor
    text: str
    at: Instant


class Disposition(Record):
    """What became of a comment, with a reason."""

    kind: Literal["disposition"] = "disposition"
    comment_id: str
    outcome: Literal["accepted", "accepted-in-part", "not-accepted", "noted"]
    reason: str
    by: Actor
    at: Instant


class Consultation(Record):
    """A proposal open for comment between two instants."""

    kind: Literal["consultation"] = "consultation"
    proposal: str
    open: Interval
    comments: tuple[Comment, ...] = ()
    dispositions: tuple[Disposition, ...] = ()


class TextDifference(Record):
    """How the adopted text of one rule differs from the draft, and why."""

    rule: Identifier
    difference: str
    reason: str
    parts: tuple[RedlinePart, ...]
    """Of each part, `now` is the draft and `proposed` what was adopted."""


class Adoption(Record):
    """The amended rulebook, and how it differs from the draft that was consulted on."""

    kind: Literal["adoption"] = "adoption"
    proposal: str
    before: RulebookRef
    after: RulebookRef
    adopted: tuple[Amendment, ...]
    differs_from_draft: tuple[str, ...]
    """Each difference between draft and adopted text with its reason
    (Administrative Procedure Act of Japan, Art. 43(1)(iv))."""
    differences: tuple[TextDifference, ...] = ()
    """The same with both texts; empty in older records."""
    running: tuple[TrialChoice, ...] = ()
    """What becomes of each running trial, with what was foreseen for it."""
    reason: str
    """The owner's own words."""
    by: Actor
    at: Instant


class Retention(Record):
    """The owner's decision, after the consultation, to leave the rulebook as it is.

    That nothing was enacted after a consultation is published too (Administrative
    Procedure Act of Japan, Art. 43(4)).
    """

    kind: Literal["retention"] = "retention"
    proposal: str
    retained: RulebookRef
    """The version that stays in force."""
    not_adopted: tuple[Identifier, ...]
    """Rules whose proposed amendments were not adopted; empty when none was
    proposed."""
    reason: str
    by: Actor
    at: Instant


class Publication(Record):
    """Everything the public is told of one proposal."""

    kind: Literal["publication"] = "publication"
    proposal: RevisionProposal
    impact: ImpactStatement | None = None
    """None in proposals that were drafted without one."""
    consultation: Consultation | None = None
    adoption: Adoption | None = None
    retention: Retention | None = None
