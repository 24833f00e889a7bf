"""What people do to a trial, what machines tell it, what it carries."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from sandbox.model.application import Application, Defect
from sandbox.model.decision import Decision, Refusal
from sandbox.model.impact import TrialEffect
from sandbox.model.load import LoadResult
from sandbox.model.party import Actor, Applicant
from sandbox.model.record import Digest, Identifier, Instant, Period, Record, TrialId
from sandbox.model.regime import Regime
from sandbox.model.rule import Action, RulebookRef
from sandbox.model.trial import CaseState, Pause
from sandbox.procedure import Case
from workflows.messages.environment import EnvironmentReport


class SubmitApplication(Record):
    """Update: file an application, or a corrected one."""

    decision_id: str
    application: Application
    manifests: list[dict[str, Any]]
    """The system under trial, as the applicant wrote it."""
    by: Actor
    file: str = ""
    """Name of the document, for the places of defects."""


class Submission(Record):
    """What came of filing: admitted, or returned with every defect."""

    admitted: bool
    defects: tuple[Defect, ...] = ()
    application_digest: Digest | None = None
    possible_conflicts: tuple[str, ...] = ()
    """Where it may conflict with trials that are under way; for a person to decide."""
    refusal: Refusal | None = None
    """Why filing was not lawful at all, when it was not."""


class BeginTrial(Record):
    """Update: the applicant begins, with evidence for each gate."""

    decision_id: str
    gates: dict[str, str] = Field(default_factory=dict)
    """Condition id → how it is met."""
    by: Actor


class ChangeSystem(Record):
    """Update: roll out another version of the system under trial."""

    decision_id: str
    reason: str
    manifests: list[dict[str, Any]]
    by: Actor


class StopTrial(Record):
    """Update: end the trial before it expires."""

    decision_id: str
    reason: str
    by: Actor


class ReportLoad(Record):
    """Update: file the result of a load test."""

    decision_id: str
    result: LoadResult
    by: Actor


class Answer(Record):
    """What came of an act: taken, or refused with the recorded reason."""

    accepted: bool
    refusal: Refusal | None = None
    index: int | None = None
    """Place of the entry in the log."""


class BreachReport(Record):
    """Signal: a guardrail signalled; the environment was told at the same time."""

    breach_id: str
    guardrail: Identifier
    """Guardrail, or condition, that no longer holds."""
    action: Action
    detected_at: Instant
    cause: str = ""
    """In words for a person; empty where a guardrail signalled harm."""
    segment: int | None = None
    """Which one is damaged, where that is the cause."""


class RulebookChanged(Record):
    """Signal: a new version of the rulebook is adopted."""

    adopted: RulebookRef
    effect: TrialEffect = "pinned"
    """What becomes of this trial."""


class Terms(Record):
    """The periods of the plan that the workflow keeps."""

    length: Period
    must_start_within: Period
    settling_time: Period


class TrialState(Record):
    """Everything a trial workflow carries across continue-as-new."""

    trial_id: TrialId
    regime: Regime
    case: Case
    applicant: Applicant | None = None
    terms: Terms | None = None
    application_digest: Digest | None = None
    must_start_by: Instant | None = None
    decision: Decision | None = None
    plan_digest: Digest | None = None
    expires_at: Instant | None = None
    manifests: str = "system"
    """Document with the version of the system that is to run."""
    stop_requested: str = ""
    """Why the trial is to end before its expiry; empty while nobody asked."""
    generation: int = 0
    environment: EnvironmentReport | None = None
    reviews: int = 0
    review_id: str = ""
    pauses: tuple[Pause, ...] = ()
    breaches: tuple[BreachReport, ...] = ()
    frozen_after_s: tuple[float, ...] = ()
    processed: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Decision id → the answer it was given."""
    refused_attempts: int = 0
    started_at: Instant | None = None
    bundle: str = ""
    failure: str = ""


class TrialStatus(Record):
    """Query: where the case stands."""

    trial_id: TrialId
    state: CaseState
    version: int
    review_id: str = ""
    environment: EnvironmentReport | None = None
    expires_at: Instant | None = None
    pauses: tuple[Pause, ...] = ()
    breaches: tuple[BreachReport, ...] = ()
    frozen_after_s: tuple[float, ...] = ()
    """Seconds from each breach to the frozen environment."""
    refused_attempts: int = 0
    bundle: str = ""
    failure: str = ""
