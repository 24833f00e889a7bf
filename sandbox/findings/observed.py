"""What a trial is judged on: everything observed of it, and what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import NamedTuple

from sandbox.model.closing import TrialClosing
from sandbox.model.observation import Observation
from sandbox.model.segment import Completeness
from sandbox.monitor import Completed, observe_frames, observe_tracks
from sandbox.procedure import add_period
from sandbox.recorder import Expected, Frame, assess
from sandbox.rules import CompiledRules

ReadSegments = Callable[[], Iterable[tuple[int, Sequence[Frame]]]]
"""Reads (segment number, its frames) of everything recorded, from the beginning."""


class Observed(NamedTuple):
    """Observations of all rules, and how whole they are."""

    observations: tuple[Observation, ...]
    producers: dict[tuple[int, int], str]
    """(segment, frame) → who sent it, for every observation."""
    completeness: Completeness


def observe_trial(
    closing: TrialClosing,
    read: ReadSegments,
    *,
    rules: CompiledRules,
    is_damaged: bool,
) -> Observed:
    """Judge every span of a trial that is over, alone and together with others.

    Args:
        closing: When it ran, and its plan.
        read: Reads the frames; called four times or more.
        rules: The rulebook with the trial's temporary rule over it.
        is_damaged: Whether there are segments that cannot be read.

    Raises:
        EvidenceError: A frame cannot be read.
    """
    trial_id, settling_s = closing.trial_id, settling_of(closing).total_seconds()
    completeness = _completeness(closing, read, settling_s)
    observations = [
        item
        for number, frames in read()
        for item in observe_frames(
            frames, rules=rules, trial_id=trial_id, segment=number
        )
    ]
    completed = Completed(closing.ended_at, settling_s, completeness.gaps, is_damaged)
    observations += observe_tracks(
        read(), rules=rules, trial_id=trial_id, completed=completed
    )
    places = {(item.segment, item.frame) for item in observations}
    producers = {
        (number, frame.index): frame.producer
        for number, frames in read()
        for frame in frames
        if (number, frame.index) in places
    }
    return Observed(tuple(observations), producers, completeness)


def settling_of(closing: TrialClosing) -> timedelta:
    """Return the settling time of a plan, reckoned from when its trial ended."""
    settled = add_period(
        closing.ended_at,
        closing.plan.settling_time,
        time_zone=closing.regime.time_zone,
    )
    return settled - closing.ended_at


def _completeness(
    closing: TrialClosing, read: ReadSegments, settling_s: float
) -> Completeness:
    """Find what is known to be missing of everything recorded."""
    expected = Expected(
        since=closing.started_at,
        until=closing.ended_at,
        settling_s=settling_s,
        pauses=closing.pauses,
    )

    def frames() -> Iterator[Sequence[Frame]]:
        return (frames for _, frames in read())

    return assess(closing.trial_id, frames, expected)
