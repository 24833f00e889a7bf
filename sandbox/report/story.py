"""The whole story of a trial, as records: all that the report is written from."""

from __future__ import annotations

from sandbox.model.application import Application
from sandbox.model.decision import Decision
from sandbox.model.finding import ExitReport, Finding, Look
from sandbox.model.impact import ImpactStatement
from sandbox.model.load import LoadResult
from sandbox.model.log import Checkpoint, LoggedEntry, Verification
from sandbox.model.observation import Breach, Observation
from sandbox.model.proposal import Adoption, Consultation, Retention, RevisionProposal
from sandbox.model.record import Instant, Record, TrialId
from sandbox.model.rule import Rulebook, TemporaryRule
from sandbox.model.trial import IsolationProof, Pause


class TrialStory(Record):
    """What happened, what was found, what became of it; missing parts are left out."""

    trial_id: TrialId
    title: str
    """What was tried, in a few words."""
    rulebook: Rulebook
    """The version the trial ran under."""
    written_at: Instant
    application: Application | None = None
    decision: Decision | None = None
    temporary_rule: TemporaryRule | None = None
    entries: tuple[LoggedEntry, ...] = ()
    """Entries of the evidence log for this trial and its revision, in log order."""
    pauses: tuple[Pause, ...] = ()
    breaches: tuple[Breach, ...] = ()
    observations: tuple[Observation, ...] = ()
    looks: tuple[Look, ...] = ()
    findings: tuple[Finding, ...] = ()
    exit_report: ExitReport | None = None
    proof: IsolationProof | None = None
    loads: tuple[LoadResult, ...] = ()
    proposal: RevisionProposal | None = None
    impact: ImpactStatement | None = None
    consultation: Consultation | None = None
    adoption: Adoption | None = None
    retention: Retention | None = None
    checkpoint: Checkpoint | None = None
    verification: Verification | None = None
    verify_command: str = ""
    """The command that checks the evidence bundle on another machine."""
    timings: dict[str, float] = {}
    """What took how many seconds."""
