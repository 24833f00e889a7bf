"""Until when the bytes of each segment are kept, and why.

Rules of this module:

* Pure: the log's entries, the regime and the present instant give the answer.
* The regime's own period and calendar count (`sandbox.procedure.add_period`); without a
  period, or before its event has happened, evidence is kept.
* Nothing falls due before the case is over: until then it is still to be judged.
* A hold beats the period (GDPR Art. 17(3)(e): legal claims).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sandbox.evidence.hold import holds_in_force
from sandbox.model.erasure import Keeping, SegmentErasure
from sandbox.model.log import LoggedEntry
from sandbox.model.regime import Regime
from sandbox.model.segment import EvidenceSegment, SealedSegment
from sandbox.ports import Records
from sandbox.procedure import FINAL_STATES, add_period

_ENDED = frozenset({"closing", *FINAL_STATES})
_NO_REGIME = "no regime is kept with this trial, so no period runs"
_NO_PERIOD = "the regime has no retention period; kept until someone decides"


class TrialLog(NamedTuple):
    """One trial as its regime and its entries tell it."""

    trial_id: str
    entries: Sequence[LoggedEntry]
    """In log order."""
    regime: Regime | None


def regime_of(records: Records, trial_id: str) -> Regime | None:
    """Return the regime of a trial, or None where none was kept with it.

    Raises:
        RecordsError: The records cannot be read.
    """
    document = records.find_documents(trial_id, "regime").get("regime")
    return None if document is None else Regime.model_validate(document)


def sealed_segments(entries: Sequence[LoggedEntry]) -> dict[int, SealedSegment]:
    """Return what the log says was sealed, by number."""
    bodies = [item.entry.body for item in entries if item.entry.kind == "segment"]
    found = [SealedSegment.model_validate(body) for body in bodies]
    return {item.segment.number: item for item in found}


def segment_erasures(entries: Sequence[LoggedEntry]) -> dict[int, LoggedEntry]:
    """Return the entries that say a segment was erased, by its number."""
    return {
        SegmentErasure.model_validate(item.entry.body).number: item
        for item in entries
        if item.entry.kind == "erasure"
        and item.entry.body.get("kind") == "segment-erasure"
    }


def keepings(trial: TrialLog, *, at: datetime) -> list[Keeping]:
    """Return until when each sealed segment is kept, in order of their numbers.

    Args:
        trial: The trial.
        at: The present instant.

    Raises:
        ProcedureError: The regime's period or time zone cannot be used.
    """
    erasures = segment_erasures(trial.entries)
    holds = holds_in_force(trial.entries).values()
    course = _course(trial.entries)
    held = "; ".join(f"hold {h.number} by {h.by.name}: {h.reason}" for h in holds)
    found = []
    for number, sealed in sorted(sealed_segments(trial.entries).items()):
        until, why = _period(trial.regime, sealed.segment, course)
        state = "due" if until is not None and until <= at else "kept"
        if number in erasures:
            state, why = "erased", f"log entry {erasures[number].index}"
        elif held:
            state, why = "held", held
        data = {"trial_id": trial.trial_id, "number": number, "until": until}
        found.append(Keeping.model_validate({**data, "state": state, "why": why}))
    return found


def _period(
    regime: Regime | None,
    segment: EvidenceSegment,
    course: tuple[datetime | None, bool],
) -> tuple[datetime | None, str]:
    """Return when the lawful period of a segment ends, and why."""
    if regime is None:
        return None, _NO_REGIME
    period = regime.retention_period
    if period is None:
        return None, _NO_PERIOD
    why = f"{period.length} from {period.start}: {period.source}"
    ended_at, is_over = course
    start = segment.last_received_at if period.start == "recorded" else ended_at
    if not is_over or start is None:
        return None, f"{why}; the trial is not over"
    return add_period(start, period.length, time_zone=regime.time_zone), why


def _course(entries: Sequence[LoggedEntry]) -> tuple[datetime | None, bool]:
    """Return when a trial ended, and whether its case is over."""
    ended_at, is_over = None, False
    for item in entries:
        if item.entry.kind == "transition":
            state = item.entry.body.get("after")
            is_over = state in FINAL_STATES
            if ended_at is None and state in _ENDED:
                ended_at = item.entry.recorded_at
    return ended_at, is_over
