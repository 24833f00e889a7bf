"""Segments that cannot be read as evidence, as the log says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from sandbox.model.log import LogEntry
from sandbox.model.record import Identifier, Instant, Record, TrialId


class SegmentDamage(Record):
    """A segment was found that cannot be read, so the trial is paused."""

    kind: Literal["segment-damage"] = "segment-damage"
    trial_id: TrialId
    condition: Identifier
    """The condition that no longer held."""
    segment: int
    cause: str
    """In words for a person."""
    detected_at: Instant


def damaged_segments(entries: Iterable[LogEntry]) -> dict[int, str]:
    """Return the number of each segment that was found damaged → what is wrong.

    One that was restored later is among them too; it is then sealed.

    Args:
        entries: Of one trial.
    """
    bodies = (item.body for item in entries if item.kind == "incident")
    found = (
        SegmentDamage.model_validate(body)
        for body in bodies
        if body.get("kind") == "segment-damage"
    )
    return {item.segment: item.cause for item in found}
