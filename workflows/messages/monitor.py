"""What the monitor carries from window to window."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sandbox.model.finding import Counts
from sandbox.model.record import Digest, Instant, Record, TrialId, digest_of
from sandbox.monitor import GuardrailState
from workflows.messages.trial import BreachReport


class Cursor(Record):
    """How far the recorded frames have been read."""

    segment: int = 1
    offset: int = 0
    frame: int = 0


class MonitorState(Record):
    """Everything the monitor carries from window to window."""

    trial_id: TrialId
    window_s: float
    cursor: Cursor = Cursor()
    guardrails: tuple[GuardrailState, ...] = ()
    begun: bool = False
    """Whether the guardrails of this surveillance have been set up."""
    counts: dict[str, Counts] = Field(default_factory=dict)
    """Rule → units so far."""
    windows: int = 0
    looks: int = 0
    data_digest: Digest = digest_of(b"")
    """Chained over every observation so far: SHA-256 of the digest before and the
    canonical JSON of the observation."""
    surveillance: int = 1
    """Counted up at each resumption: the guardrails begin afresh."""
    recorder_off_since: Instant | None = None
    """Since when nothing can be recorded or read; None while it can."""
    settled_ns: int = 0
    """Up to which instant units that are judged with other spans have been told."""
    damaged: tuple[int, ...] = ()
    """Segments the trial was paused for: once it goes on, it does so without them."""


class WindowResult(Record):
    """What one window showed."""

    state: MonitorState
    breach: BreachReport | None = None


class MonitorControl(Record):
    """Signal: pause after this window, go on after a pause, or stop for good."""

    command: Literal["pause", "resume", "stop"]


class MonitorStatus(Record):
    """Query: how far the monitor has come."""

    windows: int
    looks: int
    counts: dict[str, Counts]
    watching: bool
