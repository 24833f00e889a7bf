"""Which segments are gone on without, because they were found damaged."""

from __future__ import annotations

from collections.abc import Iterable

from sandbox.model.damage import damaged_segments
from sandbox.model.log import LogEntry
from sandbox.ports import SegmentFile


def without_damaged(
    files: Iterable[SegmentFile], entries: Iterable[LogEntry]
) -> list[SegmentFile]:
    """Return the segments but those that are not sealed, and damaged by the log.

    Args:
        files: Of one trial.
        entries: Of the same trial.
    """
    damaged = damaged_segments(entries)
    return [
        item for item in files if item.state != "closed" or item.number not in damaged
    ]
