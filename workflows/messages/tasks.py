"""Inputs and results of the activities of a trial."""

from __future__ import annotations

from pydantic import Field

from sandbox.model.decision import Decision
from sandbox.model.record import Digest, Instant, Record, TrialId
from sandbox.model.regime import Regime
from sandbox.model.rule import RulebookRef
from sandbox.model.trial import Pause
from workflows.messages.trial import BreachReport, ChangeSystem, SubmitApplication


class KeepManifests(Record):
    """Activity: keep another version of the system as a document."""

    trial_id: TrialId
    name: str
    change: ChangeSystem


class CheckApplication(Record):
    """Activity: store an application and check whether it is complete."""

    trial_id: TrialId
    submission: SubmitApplication
    regime: Regime


class PrepareTrial(Record):
    """Activity: lock the plan, compose the temporary rule, fix the environment."""

    trial_id: TrialId
    decision: Decision
    regime: Regime
    gates: dict[str, str] = Field(default_factory=dict)
    """Condition → evidence that it is met, as the applicant said."""
    at: Instant


class PreparedTrial(Record):
    """What was locked, by digest, and when it ends."""

    plan_digest: Digest
    temporary_rule_digest: Digest
    rulebook: RulebookRef
    expires_at: Instant


class CloseTrial(Record):
    """Activity: judge what was recorded, and report."""

    trial_id: TrialId
    regime: Regime
    pauses: tuple[Pause, ...]
    started_at: Instant
    ended_at: Instant


class Closing(Record):
    """The closing figures."""

    findings: int
    segments: int
    bundle: str


class SealSegments(Record):
    """Activity: seal what is closed; with `roll`, close the open segment first."""

    trial_id: TrialId
    roll: bool = False


class Sealing(Record):
    """What came of sealing."""

    sealed: int
    damaged: tuple[BreachReport, ...] = ()
    """One for each segment that cannot be sealed; each is recorded."""
