"""One decision by several people."""

from __future__ import annotations

from typing import Literal

from sandbox.model.decision import Condition, Decision, Opinion
from sandbox.model.party import Actor, Applicant
from sandbox.model.record import Identifier, Instant, Record, TrialId
from sandbox.model.regime import Regime
from sandbox.procedure import DecisionRequest


class ReviewInput(Record):
    """One decision to be taken by several people."""

    trial_id: TrialId
    stage: Literal["admission", "resumption"]
    number: int
    regime: Regime
    applicant: Applicant
    opened_at: Instant
    opinions: tuple[Opinion, ...] = ()
    recused: tuple[str, ...] = ()
    refused_attempts: int = 0


class CastOpinion(Record):
    """Update: an authority says what it thinks."""

    decision_id: str
    authority: Identifier
    position: Literal["no-objection", "conditions", "objection"]
    reasons: tuple[str, ...]
    conditions: tuple[Condition, ...] = ()
    by: Actor


class Recuse(Record):
    """Update: a person steps aside."""

    decision_id: str
    reason: str
    by: Actor


class Decide(Record):
    """Update: the approver decides; refused attempts are recorded and answered."""

    request: DecisionRequest
    by: Actor


class ReviewResult(Record):
    """The decision, and how many attempts had to be refused on the way."""

    decision: Decision
    opinions: tuple[Opinion, ...]
    refused_attempts: int


class ReviewStatus(Record):
    """Query: who has been heard and what is missing."""

    stage: str
    heard: tuple[str, ...]
    missing: tuple[str, ...]
    due_at: Instant | None
    decided: bool
    refused_attempts: int
