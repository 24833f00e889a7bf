"""A segment that cannot be read: an incident, once for each segment.

Rules of this module:

* What may be read when it is tried again is not damaged, unless it was tried too often.
"""

from __future__ import annotations

from temporalio import activity

from sandbox.errors import EvidenceError, RecorderError
from sandbox.model.damage import SegmentDamage
from sandbox.monitor import SEGMENTS_WHOLE
from workflows.activities.keeping import Ledger
from workflows.messages import BreachReport

_TRIES = 10
"""Of reading it: a disk that fails for good must not keep a trial from closing."""

Unreadable = (RecorderError, EvidenceError)
"""What reading and sealing a segment raises."""


def is_given_up(error: RecorderError | EvidenceError) -> bool:
    """Return whether this activity need not try again to read a segment."""
    return not error.retryable or activity.info().attempt >= _TRIES


def record_damage(
    ledger: Ledger, trial_id: str, number: int, cause: str
) -> BreachReport:
    """Record that a segment cannot be read, or keep what is recorded of it."""
    found = SegmentDamage(
        trial_id=trial_id,
        condition=SEGMENTS_WHOLE,
        segment=number,
        cause=cause,
        detected_at=ledger.clock.now(),
    )
    entry_id = f"incident/{trial_id}/{SEGMENTS_WHOLE}/{number:06d}"
    recorded = ledger.write_once("incident", entry_id, trial_id, found)
    first = SegmentDamage.model_validate(recorded)
    return BreachReport(
        breach_id=entry_id,
        guardrail=first.condition,
        action="pause",
        detected_at=first.detected_at,
        cause=first.cause,
        segment=number,
    )
