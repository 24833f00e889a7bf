"""From recorded frames to observations by rules with patterns.

Rules of this module:

* All spans are looked at together, whichever segment they lie in; a unit has its place
  where it was delivered first.
* A lost span may have started before the stretch in which its loss was noticed: by as
  much as any span that came started before it came.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sandbox.model.instants import unix_nano_of
from sandbox.model.observation import Observation
from sandbox.model.segment import Gap, GapReason
from sandbox.monitor.observe import observation_of, span_start
from sandbox.recorder import Frame, spans_in
from sandbox.rules import CompiledRules, Known, judge_tracks
from sandbox.rules.facts import span_facts

_TICK = timedelta(microseconds=1)
_LOSSES: frozenset[GapReason] = frozenset(
    {
        "torn-frame",
        "recorder-down",
        "refused",
        "sequence-hole",
        "sdk-dropped",
        "sdk-in-flight",
        "orphan-parent",
    }
)
"""Gaps in which spans are missing; the others say that something is odd."""


class Completed(NamedTuple):
    """What is known of the spans of a trial that is over."""

    ended_at: datetime
    settling_s: float
    gaps: tuple[Gap, ...]
    is_damaged: bool = False
    """Whether whole segments cannot be read."""


def observe_tracks(
    segments: Iterable[tuple[int, Sequence[Frame]]],
    *,
    rules: CompiledRules,
    trial_id: str,
    completed: Completed,
) -> list[Observation]:
    """Judge all spans of a trial by the rules with patterns.

    Args:
        segments: Number and frames of each segment.
        rules: The rulebook with the trial's temporary rule over it.
        trial_id: The trial.
        completed: What is known to be missing.

    Returns:
        Observations in order of the start of their units.

    Raises:
        EvidenceError: A frame is not what the recorder writes.
    """
    if not rules.patterns:
        return []
    found = [
        (number, frame.index, frame.received_at, span)
        for number, frames in segments
        for frame in frames
        if frame.signal == "traces"
        for span in spans_in(frame)
    ]
    delays = [received_at - span_start(span) for _, _, received_at, span in found]
    known = known_times(completed, max(delays, default=timedelta()))
    facts = [span_facts(span) for *_, span in found]
    observations = []
    for place, outcome in judge_tracks(rules, facts, known=known):
        segment, frame, _, span = found[place]
        where = (trial_id, segment, frame)
        observations.append(observation_of(outcome, span, where))
    return sorted(observations, key=lambda x: (x.started_at, x.trace_id, x.span_id))


def known_times(completed: Completed, delay: timedelta) -> Known:
    """Return of which times all spans of a trial are known.

    Args:
        completed: What is known of the trial.
        delay: How long at most a span started before it came.
    """
    until = unix_nano_of(completed.ended_at)
    gaps = [
        (
            unix_nano_of(gap.since - delay) if gap.since else 0,
            unix_nano_of(gap.until) if gap.until else until,
        )
        for gap in completed.gaps
        if gap.reason in _LOSSES
    ]
    gaps += [(0, until)] if completed.is_damaged else []
    settling = round(completed.settling_s * 1e9)
    return Known(until, settling, tuple(gaps))
