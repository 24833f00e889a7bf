"""Of which times the evidence of a closed trial is known to be whole."""

from __future__ import annotations

from sandbox.findings import settling_of
from sandbox.model.backtest import EvidenceTimes
from sandbox.model.closing import TrialClosing
from sandbox.model.damage import damaged_segments
from sandbox.model.finding import ExitReport
from sandbox.model.segment import SealedSegment
from sandbox.monitor import Completed, known_times
from workflows.activities.keeping import Ledger


def evidence_times(ledger: Ledger, trial_id: str) -> EvidenceTimes | None:
    """Return the times that its closing and its exit report tell; None before both.

    A span is taken to have started at most the settling time before it came.
    """
    entries = [item.entry for item in ledger.log.entries(trial_id)]
    bodies = {item.kind: item.body for item in entries}
    if "closing" not in bodies or "exit-report" not in bodies:
        return None
    closing = TrialClosing.model_validate(bodies["closing"])
    report = ExitReport.model_validate(bodies["exit-report"])
    settling = settling_of(closing)
    sealed = {
        SealedSegment.model_validate(item.body).segment.number
        for item in entries
        if item.kind == "segment"
    }
    completed = Completed(
        closing.ended_at,
        settling.total_seconds(),
        report.completeness.gaps if report.completeness else (),
        is_damaged=bool(damaged_segments(entries).keys() - sealed),
    )
    known = known_times(completed, settling)
    return EvidenceTimes(
        until_ns=known.until, settling_ns=known.settling, gaps=known.gaps
    )
