"""Judging a goal: looks, the final interval, and the verdict.

Rules of this module:

* All units of the trial count, as the plan was locked, also those of a version of the
  system that was rolled back.
* Units that could not be evaluated count against the claim in one limit and for it in
  the other; a verdict stands only on the limit that is worse for it. So do units that
  may have been lost on the way, in the final interval: when they would have come is not
  known, so no look before it can tell.
* The verdict rests on the interval over all units. It needs no constant rate: that the
  threshold lies outside says so of the average chance over the units seen.
* The running intersection of the intervals needs a constant rate. Where it is empty,
  the rate moved. If a guardrail signalled in that stretch, the move is known and is
  reported as harm; if none did, the system changed unnoticed and the verdict is
  invalid.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sandbox import __version__
from sandbox.findings.evidence import Stratum, TrialEvidence, strata_of
from sandbox.findings.sequential import bernoulli_interval
from sandbox.findings.tally import Tally, look_points, tallies, tally, units_of
from sandbox.model.application import Hypothesis
from sandbox.model.finding import Bounds, Counts, Look, Verdict
from sandbox.model.observation import Observation


class GoalJudgement(NamedTuple):
    """What the data say of one goal."""

    verdict: Verdict
    reason: str
    """Why it is invalid or inconclusive; empty otherwise."""
    counts: Counts
    missing: int
    estimate: float | None
    bounds: Bounds
    data_digest: str
    looks: tuple[Look, ...]
    units: tuple[Observation, ...]
    strata: tuple[Stratum, ...]


def look_at_goal(
    goal: Hypothesis,
    units: Sequence[Observation],
    *,
    trial_id: str,
    number: int,
    at: datetime,
) -> Look:
    """Evaluate a goal once, on the units so far.

    Args:
        goal: From the locked plan.
        units: Units of the goal's rule (`tally.units_of`).
        trial_id: The trial.
        number: Number of this look at this goal, from 1.
        at: When one looks.

    Returns:
        The look, with the digest of exactly these units.
    """
    return _look(goal, tally(units), trial_id, number, at)


def judge_goal(goal: Hypothesis, evidence: TrialEvidence) -> GoalJudgement:
    """Judge one goal on all units of its rule."""
    units = units_of(goal.estimand.of, evidence.observations)
    looks = _looks(goal, units, evidence.trial_id)
    final = tally(units)
    missing = evidence.missing.get(goal.estimand.of, 0)
    bounds = goal_bounds(goal, final.counts, missing=missing)
    strata = strata_of(units, evidence)
    verdict, reason = _verdict(goal, final.counts, bounds)
    broken = " ".join(evidence.integrity) or _unnoticed_change(goal, strata)
    if broken:
        verdict, reason = "invalid", broken
    return GoalJudgement(
        verdict,
        reason,
        final.counts,
        missing,
        goal_estimate(goal, final.counts),
        bounds,
        final.digest,
        looks,
        tuple(units),
        strata,
    )


def goal_bounds(goal: Hypothesis, counts: Counts, *, missing: int = 0) -> Bounds:
    """Return the anytime-valid interval, missing units counted both ways.

    Args:
        goal: From the locked plan.
        counts: Units that came; those not evaluable are missing too.
        missing: Units that did not come.
    """
    named, units = _named(goal, counts), counts.units + missing
    lower, _ = bernoulli_interval(
        successes=named, n=units, alpha=goal.alpha, t_opt=goal.minimum_units
    )
    _, upper = bernoulli_interval(
        successes=named + counts.not_evaluable + missing,
        n=units,
        alpha=goal.alpha,
        t_opt=goal.minimum_units,
    )
    return Bounds(lower=lower, upper=upper)


def goal_estimate(goal: Hypothesis, counts: Counts) -> float | None:
    """Return the proportion among evaluable units; None where there are none."""
    evaluable = counts.satisfied + counts.violated
    return _named(goal, counts) / evaluable if evaluable else None


def _named(goal: Hypothesis, counts: Counts) -> int:
    """Units with the result the goal speaks of."""
    satisfied = goal.estimand.proportion == "satisfied"
    return counts.satisfied if satisfied else counts.violated


def _verdict(goal: Hypothesis, counts: Counts, bounds: Bounds) -> tuple[Verdict, str]:
    if counts.units < goal.minimum_units:
        short = (
            f"The plan asks for {goal.minimum_units} units; {counts.units} were seen."
        )
        return "inconclusive", short
    above, below = bounds.lower >= goal.threshold, bounds.upper < goal.threshold
    if goal.estimand.proportion == "violated":
        above, below = bounds.upper <= goal.threshold, bounds.lower > goal.threshold
    if above:
        return "met", ""
    if below:
        return "not_met", ""
    return "inconclusive", "The interval holds values on both sides of the threshold."


def _looks(
    goal: Hypothesis, units: Sequence[Observation], trial_id: str
) -> tuple[Look, ...]:
    points = look_points(len(units))
    looks: list[Look] = []
    for number, seen in enumerate(tallies(units)):
        if number in points and seen.until is not None:
            looks.append(_look(goal, seen, trial_id, len(looks) + 1, seen.until))
    return tuple(looks)


def _look(
    goal: Hypothesis, seen: Tally, trial_id: str, number: int, at: datetime
) -> Look:
    return Look(
        trial_id=trial_id,
        number=number,
        subject=goal.goal,
        purpose="goal",
        counts=seen.counts,
        estimate=goal_estimate(goal, seen.counts),
        bounds=goal_bounds(goal, seen.counts),
        threshold=goal.threshold,
        data_digest=seen.digest,
        code_version=__version__,
        at=at,
    )


def _unnoticed_change(goal: Hypothesis, strata: Sequence[Stratum]) -> str:
    """Say where intervals within one stratum exclude each other, if they do."""
    for stratum in strata:
        if stratum.signalled:
            continue
        lower, upper = 0.0, 1.0
        points = look_points(len(stratum.units))
        for number, seen in enumerate(tallies(stratum.units)):
            if number not in points:
                continue
            bounds = goal_bounds(goal, seen.counts)
            lower, upper = max(lower, bounds.lower), min(upper, bounds.upper)
            if lower > upper:
                return (
                    "The rate changed while no guardrail signalled: by"
                    f" {seen.until:%H:%M:%S} UTC one interval lies above {lower:.1%}"
                    f" and another below {upper:.1%}, so no single rate fits."
                )
    return ""
