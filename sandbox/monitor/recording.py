"""The recorder is on: a condition of every trial, watched like a guardrail.

Rules of this module:

* A trial whose recorder is off for longer than its plan's settling time is paused: what
  it does then would leave no evidence. A shorter hiccup means nothing, as a shorter
  silence of a producer means nothing.
* Time counts from when the recorder itself says it began to fail, else from when its
  silence was first noticed.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sandbox.model.observation import RecorderOutage
from sandbox.model.segment import RecorderHealth

RECORDER_ON = "recorder-on"
"""Name of the condition."""
SEGMENTS_WHOLE = "segments-whole"
"""Name of the condition that every segment can be read."""


def off_since(
    known: datetime | None, health: RecorderHealth, *, now: datetime
) -> datetime | None:
    """Return since when the recorder is off; None when it is on.

    Args:
        known: What was returned the time before.
        health: What it says now, or what its silence means.
        now: The present instant.
    """
    if health.is_well:
        return None
    return min(known or now, health.since or now)


def outage(
    trial_id: str,
    health: RecorderHealth,
    *,
    since: datetime | None,
    now: datetime,
    limit_s: float,
) -> RecorderOutage | None:
    """Return what pauses the trial; None within the limit.

    Args:
        trial_id: The trial.
        health: What the recorder says now, or what its silence means.
        since: From `off_since`.
        now: The present instant.
        limit_s: Seconds it may be off.
    """
    if since is None or now - since <= timedelta(seconds=limit_s):
        return None
    return RecorderOutage(
        trial_id=trial_id,
        condition=RECORDER_ON,
        cause=f"nothing could be recorded since {since.isoformat()}: {health.cause}",
        since=since,
        detected_at=now,
        limit_s=limit_s,
    )
