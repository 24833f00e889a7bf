"""Closing a trial: judge everything recorded, report, bundle.

Rules of this module:

* Everything is judged again from the sealed evidence; nothing is taken from the monitor
  but the signals it gave while the trial ran.
* The plan that is judged must be the plan that was locked; if it is not, every finding
  is invalid and says so.
* What is known to be missing of the evidence is found from all of it, and every finding
  and the exit report take it in.
"""

from __future__ import annotations

from collections.abc import Iterator

from temporalio import activity

from sandbox.findings import (
    Judgement,
    TrialCourse,
    TrialEvidence,
    completeness_limits,
    exit_report,
    judge_evidence,
    missing_units,
)
from sandbox.model.application import Application
from sandbox.model.finding import ExitReport
from sandbox.model.observation import Breach, Observation
from sandbox.model.record import digest_of
from sandbox.model.rule import TemporaryRule
from sandbox.model.segment import Completeness, LoggedEntry
from sandbox.procedure import add_period
from sandbox.recorder import Expected, Frame, assess
from workflows.activities.keeping import Bundles, Ledger
from workflows.messages import CloseTrial, Closing


def close(ledger: Ledger, bundles: Bundles, task: CloseTrial) -> Closing:
    """Judge a trial, record findings and exit report, write the bundle."""
    trial_id = task.trial_id
    application = ledger.application(trial_id)
    rule = ledger.temporary_rule(trial_id)
    entries = ledger.log.entries(trial_id)
    observations = tuple(ledger.observations(trial_id, tell=activity.heartbeat))
    completeness = _completeness(ledger, task, application)
    evidence = _evidence(task, application, rule, entries, observations)._replace(
        missing=missing_units(
            observations, completeness, _producers(ledger, trial_id, observations)
        ),
        limits=completeness_limits(completeness),
    )
    judgement = judge_evidence(application.plan, evidence)
    _record_judgement(ledger, trial_id, judgement)
    course = TrialCourse(
        application=application,
        temporary_rule=rule,
        started_at=task.started_at,
        ended_at=task.ended_at,
        pauses=task.pauses,
        observations=observations,
        checked=_gates(entries),
        completeness=completeness,
    )
    report = _report(task, course, judgement, entries)
    ledger.write("exit-report", f"exit-report/{trial_id}", trial_id, report)
    ledger.records.put_document(trial_id, "exit-report", report)
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


def _completeness(
    ledger: Ledger, task: CloseTrial, application: Application
) -> Completeness:
    """Find what is known to be missing of everything recorded."""
    settled = add_period(
        task.ended_at,
        application.plan.settling_time,
        time_zone=task.regime.time_zone,
    )
    expected = Expected(
        since=task.started_at,
        until=task.ended_at,
        settling_s=(settled - task.ended_at).total_seconds(),
        pauses=task.pauses,
    )

    def read() -> Iterator[list[Frame]]:
        return (frames for _, frames in _frames(ledger, task.trial_id))

    return assess(task.trial_id, read, expected)


def _frames(ledger: Ledger, trial_id: str) -> Iterator[tuple[int, list[Frame]]]:
    for number, frames in ledger.frames(trial_id):
        activity.heartbeat(number)
        yield number, frames


def _producers(
    ledger: Ledger, trial_id: str, observations: tuple[Observation, ...]
) -> dict[tuple[int, int], str]:
    """Return who sent the frames in which something was observed."""
    places = {(item.segment, item.frame) for item in observations}
    return {
        (number, frame.index): frame.producer
        for number, frames in _frames(ledger, trial_id)
        for frame in frames
        if (number, frame.index) in places
    }


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
