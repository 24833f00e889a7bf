"""What is read, and what a design says of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from sandbox.model.application import Hypothesis
from sandbox.model.finding import Bounds, Counts, Verdict
from sandbox.model.observation import Observation

_LEAST_LOG = -1e9
"""JSON has no infinity; an e-value this small is none."""

_UNDECIDED = "The interval holds values on both sides of the threshold."


class Seen(NamedTuple):
    """The units of a goal that are looked at."""

    units: Sequence[Observation]
    """In order (`tally.units_of`)."""
    counts: Counts
    """Of these units, by result."""
    missing: int = 0
    """Units that may have been lost on the way, at most."""


class Reading(NamedTuple):
    """What a design says of the units so far."""

    verdict: Verdict
    reason: str
    """Why it is inconclusive or invalid, or what else must be said; may be empty."""
    estimate: float | None
    bounds: Bounds | None
    log_evalue: float | None
    """Log evidence for the claim, missing units counted against it."""


def by_bounds(goal: Hypothesis, bounds: Bounds) -> tuple[Verdict, str]:
    """Return the verdict of an interval, and why it is none."""
    above, below = bounds.lower >= goal.threshold, bounds.upper < goal.threshold
    if goal.estimand.direction == "at_most":
        above, below = bounds.upper <= goal.threshold, bounds.lower > goal.threshold
    if above:
        return "met", ""
    return ("not_met", "") if below else ("inconclusive", _UNDECIDED)


def counted(units: Sequence[Observation]) -> Counts:
    """Return the units by result."""
    results = [unit.result for unit in units]
    return Counts(
        satisfied=results.count("satisfied"),
        violated=results.count("violated"),
        not_evaluable=results.count("not_evaluable"),
    )


def too_few(asked: int, seen: int) -> str:
    """Say that the least number of units was not reached."""
    return f"The plan asks for {asked} units; {seen} were seen."


def kept_log(value: float) -> float:
    """Return a log e-value as it is kept: finite."""
    return max(value, _LEAST_LOG) if not math.isnan(value) else 0.0


def figure(goal: Hypothesis, value: float) -> str:
    """Return a value of what the goal measures: per cent, or in its own unit."""
    return f"{value:.4g}" if goal.estimand.mean is not None else f"{value:.1%}"
