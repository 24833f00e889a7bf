"""From findings to the next version of a rulebook."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from sandbox.model.party import Actor
from sandbox.model.proposal import Consultation
from sandbox.model.record import Digest, Identifier, Instant, Record, TrialId
from sandbox.model.regime import Regime
from sandbox.model.rule import Amendment, RulebookRef


class RevisionInput(Record):
    """One revision of one rulebook, on the findings of some trials."""

    rulebook: Identifier
    number: int
    trials: tuple[TrialId, ...]
    regime: Regime
    by: Actor


class ProposalSummary(Record):
    """A drafted proposal by reference."""

    proposal: str
    version: int
    """Version of the rulebook it amends."""
    digest: Digest
    amendments: int


class OpenConsultation(Record):
    """Activity: open a drafted proposal for comment, from now on."""

    revision: RevisionInput
    at: Instant


class FileComment(Record):
    """Update: comment on the proposal while the consultation is open."""

    comment_id: str
    text: str
    by: Actor


class DisposeComment(Record):
    """Update: say what became of a comment, and why."""

    decision_id: str
    comment_id: str
    outcome: Literal["accepted", "accepted-in-part", "not-accepted", "noted"]
    reason: str
    by: Actor


class Adopt(Record):
    """Update: adopt the proposal; refused while the law does not allow it yet."""

    decision_id: str
    reason: str
    by: Actor
    ended: tuple[TrialId, ...] = ()
    """Running trials that end with it; all others stay pinned to their version."""
    amendments: tuple[Amendment, ...] | None = None
    """As adopted; None adopts the draft as it was consulted on."""
    reasons: dict[str, str] = Field(default_factory=dict)
    """Rule → why its adopted text differs from the draft."""


class Retain(Record):
    """Update: leave the rulebook as it is; refused while the law does not allow it."""

    decision_id: str
    reason: str
    by: Actor


class RevisionStatus(Record):
    """Query: where the revision stands."""

    state: Literal["drafting", "consulting", "deciding", "adopted", "retained"]
    proposal: ProposalSummary | None = None
    opens_at: Instant | None = None
    closes_at: Instant | None = None
    comments: int = 0
    undisposed: tuple[str, ...] = ()
    adopted: RulebookRef | None = None


class DraftProposal(Record):
    """Activity: draft a proposal from the findings of trials."""

    revision: RevisionInput
    at: Instant


class EndRevision(Record):
    """Activity: publish the next version of the rulebook, or retain the present one."""

    revision: RevisionInput
    by: Actor
    reason: str
    consultation: Consultation
    at: Instant
    ended: tuple[TrialId, ...] = ()
    """Running trials that end with the adoption."""
    amendments: tuple[Amendment, ...] | None = None
    reasons: dict[str, str] = Field(default_factory=dict)


class AdoptionResult(Record):
    """What was adopted, and what becomes of running trials."""

    before: RulebookRef
    after: RulebookRef
    running: tuple[TrialId, ...] = ()
    """All that are told."""
    ended: tuple[TrialId, ...] = ()
    """Those of them that end; the others keep their version."""


class KeepConsultation(Record):
    """Activity: keep the comments and dispositions so far as a document."""

    rulebook: Identifier
    number: int
    consultation: dict[str, Any]
