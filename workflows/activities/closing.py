"""Closing a trial: judge everything recorded, report, bundle.

Rules of this module:

* What the trial is closed on is in the log before it is judged; everything is judged
  again from the log and the sealed evidence (`sandbox.findings.conclude`), so that
  whoever has the bundle can derive the same.
* Looks, findings and exit report are recorded together or not at all; the bundle that
  is written then signs a checkpoint over them.
"""

from __future__ import annotations

from collections.abc import Iterator

from temporalio import activity

from sandbox.findings import Conclusion, conclude, trial_record
from sandbox.model.closing import TrialClosing
from sandbox.model.log import LogEntry
from sandbox.recorder import Frame
from workflows.activities.keeping import (
    Bundles,
    Ledger,
    draft_of,
    publish_rulebook,
)
from workflows.messages import CloseTrial, Closing


def close(ledger: Ledger, bundles: Bundles, task: CloseTrial) -> Closing:
    """Judge a trial, record findings and exit report, write the bundle."""
    trial_id = task.trial_id
    record = trial_record(trial_id, _recorded(ledger, task))
    conclusion = conclude(record, lambda: _frames(ledger, trial_id))
    _record_conclusion(ledger, trial_id, conclusion)
    return Closing(
        findings=len(conclusion.judgement.findings),
        segments=len(record.segments),
        bundle=bundles.write(ledger, trial_id),
    )


def _recorded(ledger: Ledger, task: CloseTrial) -> list[LogEntry]:
    """Return the entries the trial is judged on, once they are all there."""
    trial_id, rule = task.trial_id, ledger.temporary_rule(task.trial_id)
    # Published long ago; that its text stands in the log is made sure of here.
    publish_rulebook(ledger, ledger.records.rulebook(rule.of.rulebook, rule.of.version))
    application = ledger.application(trial_id)
    closing = TrialClosing(
        trial_id=trial_id,
        regime=task.regime,
        plan=application.plan,
        tried=application.innovation.summary,
        started_at=task.started_at,
        ended_at=task.ended_at,
        pauses=task.pauses,
    )
    ledger.write("closing", f"closing/{trial_id}", trial_id, closing)
    owners = (trial_id, f"rulebook/{rule.of.rulebook}")
    return [item.entry for owner in owners for item in ledger.log.entries(owner)]


def _frames(ledger: Ledger, trial_id: str) -> Iterator[tuple[int, list[Frame]]]:
    for number, frames in ledger.frames(trial_id):
        activity.heartbeat(number)
        yield number, frames


def _record_conclusion(ledger: Ledger, trial_id: str, conclusion: Conclusion) -> None:
    records = conclusion.entries()
    ledger.append_all(
        [draft_of(kind, name, trial_id, record) for kind, name, record in records]
    )
    for finding in conclusion.judgement.findings:
        ledger.records.put_document(trial_id, f"finding/{finding.finding}", finding)
    ledger.records.put_document(trial_id, "exit-report", conclusion.report)
