"""What authorities say of an application: opinions, conditions, the decision."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sandbox.model.party import Actor
from sandbox.model.record import Identifier, Instant, Record, TrialId

Outcome = Literal["approved", "approved_with_conditions", "refused"]
IsolationClass = Literal["N1", "N2", "V1"]
"""N1: hardened namespace. N2: N1 with gVisor on dedicated nodes. V1: own control
plane."""


class Condition(Record):
    """A duty the participant must keep, attached to the decision."""

    id: Identifier
    text: str
    source: str
    """Provision or reason it rests on."""
    manual: bool = False
    """A person checks it; otherwise a machine does."""
    gate: Literal["before-running"] | None = None
    """A manual condition that must be met before traffic is let in."""
    caps: dict[str, float] = Field(default_factory=dict)
    """Limits such as `customers` or `requests_per_minute`."""
    on_breach: Literal["minor", "major", "critical"] = "major"


class Opinion(Record):
    """What one competent authority thinks; advice to the decision, not the decision."""

    kind: Literal["opinion"] = "opinion"
    decision_id: str
    by: Actor
    authority: Identifier
    position: Literal["no-objection", "conditions", "objection"]
    reasons: tuple[str, ...]
    conditions: tuple[Condition, ...] = ()


class Decision(Record):
    """The decision on a case; it always has reasons."""

    kind: Literal["decision"] = "decision"
    decision_id: str
    """Chosen by the door; the same id is the same decision."""
    trial_id: TrialId
    outcome: Outcome
    reasons: tuple[str, ...] = Field(min_length=1)
    conditions: tuple[Condition, ...] = ()
    isolation_class: IsolationClass = "N1"
    approver: Actor
    assessor: Actor
    decided_at: Instant


class Refusal(Record):
    """An attempted act that was not lawful: recorded, answered, without effect."""

    kind: Literal["refusal"] = "refusal"
    decision_id: str
    code: Identifier
    """Stable name, for example `conflict-of-interest`."""
    what: str
    """Why it has no effect, in words for the person who tried."""
    by: Actor
    act: str
    """What was attempted, for example `decide`."""
    at: Instant
