"""Inputs and results of workflows, updates, signals and queries: one model each.

Rules of this module:

* Identifiers, digests and small documents only; never evidence.
* A decision by a person carries `decision_id` (the same id is the same decision, also
  after continue-as-new), a reason, and an actor that the door fills.
* New fields are optional, so that older histories can still be read.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from sandbox.model.application import Application, Defect
from sandbox.model.decision import Condition, Decision, Opinion, Refusal
from sandbox.model.finding import Counts
from sandbox.model.load import LoadResult
from sandbox.model.party import Actor, Applicant
from sandbox.model.proposal import Consultation
from sandbox.model.record import (
    Digest,
    Identifier,
    Instant,
    Period,
    Record,
    TrialId,
    digest_of,
)
from sandbox.model.regime import Regime
from sandbox.model.rule import Action, RulebookRef
from sandbox.model.segment import EntryKind
from sandbox.model.trial import CaseState, EnvironmentState, Pause
from sandbox.monitor import GuardrailState
from sandbox.procedure import Case, DecisionRequest

# --- log and documents ------------------------------------------------------------


class EntryDraft(Record):
    """An entry before it has a place in the log."""

    kind: EntryKind
    entry_id: str
    trial_id: str
    body: dict[str, Any]


class EntryPlace(Record):
    """Where an entry lies in the log."""

    entry_id: str
    index: int
    recorded_at: Instant


class CaseUpdate(Record):
    """What the list of cases shows of one case."""

    trial_id: TrialId
    state: CaseState
    summary: dict[str, Any] = Field(default_factory=dict)


# --- the trial ----------------------------------------------------------------------


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
    action: Action
    detected_at: Instant


class EnvironmentReport(Record):
    """Signal: the environment reached a state (or failed to)."""

    generation: int
    state: EnvironmentState
    namespace: str
    detail: str = ""
    seconds: float = 0.0
    """How long it took."""
    finished_at: Instant | None = None
    proof: ProofSummary | None = None


class ProofSummary(Record):
    """The isolation proof in figures."""

    digest: Digest
    holds: bool
    attempts: int
    allowed_reached: int
    denied_blocked: int
    controls_passed: int
    failures: tuple[str, ...] = ()


class RulebookChanged(Record):
    """Signal: a new version of the rulebook is adopted; this trial keeps its own."""

    adopted: RulebookRef


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


class SystemManifests(Record):
    """The system under trial as a document: Kubernetes objects as written."""

    objects: list[dict[str, Any]]


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


# --- reviews ---------------------------------------------------------------------------


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


# --- environment -----------------------------------------------------------------------


class EnvironmentInput(Record):
    """The environment of one trial."""

    trial_id: TrialId
    generation: int
    state: EnvironmentState = "absent"
    desired: EnvironmentState = "ready"
    manifests: str = "system"
    """Name of the document with the system's manifests."""


class DesiredState(Record):
    """Signal: bring the environment into a state; the highest generation wins."""

    generation: int
    state: Literal["ready", "frozen", "gone"]
    manifests: str = ""
    """Document with another version of the system; empty keeps the present one."""


class FreezeNow(Record):
    """Signal: freeze at once, whatever else is under way."""

    reason: str
    breach_id: str = ""


class EnvironmentTask(Record):
    """Activity input: one trial's environment."""

    trial_id: TrialId
    generation: int
    manifests: str = "system"
    breach_id: str = ""


class EnvironmentOutcome(Record):
    """Activity result: what was reached and how long it took."""

    namespace: str
    seconds: float
    finished_at: Instant
    detail: str = ""
    proof: ProofSummary | None = None


# --- monitor -----------------------------------------------------------------------------


class Cursor(Record):
    """How far the recorded frames have been read."""

    segment: int = 1
    offset: int = 0
    frame: int = 0


class MonitorState(Record):
    """Everything the monitor carries from window to window."""

    trial_id: TrialId
    window_s: float
    cursor: Cursor = Cursor()
    guardrails: tuple[GuardrailState, ...] = ()
    begun: bool = False
    """Whether the guardrails of this surveillance have been set up."""
    counts: dict[str, Counts] = Field(default_factory=dict)
    """Rule → units so far."""
    windows: int = 0
    looks: int = 0
    data_digest: Digest = digest_of(b"")
    """Chained over every observation so far: SHA-256 of the digest before and the
    canonical JSON of the observation."""
    surveillance: int = 1
    """Counted up at each resumption: the guardrails begin afresh."""


class WindowResult(Record):
    """What one window showed."""

    state: MonitorState
    breach: BreachReport | None = None


class MonitorControl(Record):
    """Signal: go on after a pause, or stop for good."""

    command: Literal["resume", "stop"]


class MonitorStatus(Record):
    """Query: how far the monitor has come."""

    windows: int
    looks: int
    counts: dict[str, Counts]
    watching: bool


class SealSegments(Record):
    """Activity: seal what is closed; with `roll`, close the open segment first."""

    trial_id: TrialId
    roll: bool = False


# --- revision ------------------------------------------------------------------------------


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


class DraftedProposal(Record):
    """A drafted proposal, open for comment."""

    summary: ProposalSummary
    consultation: Consultation


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


class RevisionStatus(Record):
    """Query: where the revision stands."""

    state: Literal["drafting", "consulting", "deciding", "adopted"]
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


class AdoptProposal(Record):
    """Activity: publish the next version of the rulebook."""

    revision: RevisionInput
    adopt: Adopt
    version: int
    """Version of the rulebook the proposal amends."""
    consultation: Consultation
    at: Instant


class AdoptionResult(Record):
    """What was adopted, and which running trials keep their version."""

    before: RulebookRef
    after: RulebookRef
    running: tuple[TrialId, ...] = ()


class KeepConsultation(Record):
    """Activity: keep the comments and dispositions so far as a document."""

    rulebook: Identifier
    number: int
    consultation: dict[str, Any]


# --- reaper ----------------------------------------------------------------------------------


class ReaperInput(Record):
    """One sweep; `grace_s` is left to the environment's own workflow first."""

    grace_s: float = 30.0


class ReaperResult(Record):
    """What the reaper found and removed."""

    checked: int
    removed: tuple[str, ...]


EnvironmentReport.model_rebuild()
