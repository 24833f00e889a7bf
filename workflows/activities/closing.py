"""Closing a trial: judge everything recorded, report, bundle.

Rules of this module:

* Everything is judged again from the sealed evidence; nothing is taken from the monitor
  but the signals it gave while the trial ran.
* The plan that is judged must be the plan that was locked; if it is not, every finding
  is invalid and says so.
"""

from __future__ import annotations

from temporalio import activity

from sandbox.evidence import log as evidence_log
from sandbox.findings import (
    Judgement,
    TrialCourse,
    TrialEvidence,
    exit_report,
    judge_evidence,
)
from sandbox.model.application import Application
from sandbox.model.finding import ExitReport
from sandbox.model.observation import Breach, Observation
from sandbox.model.record import digest_of
from sandbox.model.rule import TemporaryRule
from sandbox.model.segment import LoggedEntry
from workflows.activities.keeping import Bundles, Ledger
from workflows.messages import CloseTrial, Closing


def close(ledger: Ledger, bundles: Bundles, task: CloseTrial) -> Closing:
    """Judge a trial, record findings and exit report, write the bundle."""
    trial_id = task.trial_id
    application = ledger.application(trial_id)
    rule = ledger.temporary_rule(trial_id)
    entries = ledger.log.entries(trial_id)
    observations = tuple(ledger.observations(trial_id, tell=activity.heartbeat))
    judgement = judge_evidence(
        application.plan, _evidence(task, application, rule, entries, observations)
    )
    _record_judgement(ledger, trial_id, judgement)
    course = TrialCourse(
        application=application,
        temporary_rule=rule,
        started_at=task.started_at,
        ended_at=task.ended_at,
        pauses=task.pauses,
        observations=observations,
        checked=_gates(entries),
    )
    report = _report(task, course, judgement, entries)
    ledger.write("exit-report", f"exit-report/{trial_id}", trial_id, report)
    ledger.records.put_document(trial_id, "exit-report", report)
    evidence_log.sign_checkpoint(ledger.log, ledger.signer)
    return Closing(
        findings=len(judgement.findings),
        segments=sum(entry.entry.kind == "segment" for entry in entries),
        bundle=bundles.write(ledger, trial_id),
    )


def _evidence(
    task: CloseTrial,
    application: Application,
    rule: TemporaryRule,
    entries: list[LoggedEntry],
    observations: tuple[Observation, ...],
) -> TrialEvidence:
    locked = digest_of(application.plan)
    broken = (
        ()
        if locked == rule.plan_digest
        else (f"The plan judged, {locked}, is not the locked plan {rule.plan_digest}.",)
    )
    breaches = tuple(
        Breach.model_validate(item.entry.body)
        for item in entries
        if item.entry.kind == "breach"
    )
    return TrialEvidence(
        trial_id=task.trial_id,
        observations=observations,
        breaches=breaches,
        rulebook=rule.of,
        pauses=task.pauses,
        integrity=broken,
    )


def _record_judgement(ledger: Ledger, trial_id: str, judgement: Judgement) -> None:
    for look in judgement.looks:
        entry_id = f"look/{trial_id}/judged/{look.subject}/{look.number}"
        ledger.write("look", entry_id, trial_id, look)
    for finding in judgement.findings:
        entry_id = f"finding/{trial_id}/{finding.finding}"
        ledger.write("finding", entry_id, trial_id, finding)
        ledger.records.put_document(trial_id, f"finding/{finding.finding}", finding)


def _gates(entries: list[LoggedEntry]) -> dict[str, str]:
    """Return what the applicant gave as evidence for each gate, as recorded."""
    for item in entries:
        if item.entry.kind == "environment" and item.entry.body.get("act") == "begin":
            gates = item.entry.body["gates"]
            assert isinstance(gates, dict)
            return {str(key): str(value) for key, value in gates.items()}
    return {}


def _report(
    task: CloseTrial,
    course: TrialCourse,
    judgement: Judgement,
    entries: list[LoggedEntry],
) -> ExitReport:
    digests = {
        item.entry.entry_id: str(item.entry.body["statement_digest"])
        for item in entries
        if item.entry.kind == "segment"
    }
    return exit_report(
        course,
        findings=judgement.findings,
        regime=task.regime,
        evidence=digests,
        how_to_verify=f"python -m sandbox.evidence verify {task.trial_id}",
    )
