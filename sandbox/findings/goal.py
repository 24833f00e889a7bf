"""Judging a goal: looks, the final interval, and the verdict.

Rules of this module:

* All units of the trial count, as the plan was locked, also those of a version of the
  system that was rolled back.
* What a design says of the units so far stands in `designs.read`. Units that could not
  be evaluated count against the claim in one limit and for it in the other; a verdict
  stands only on the limit that is worse for it. So do units that may have been lost on
  the way, in the end: when they would have come is not known, so no look can tell.
* The verdict of a sequence rests on the interval over all units. It needs no constant
  rate: that the threshold lies outside says so of the average chance over them.
* The running intersection of the intervals needs a constant rate. Where it is empty,
  the rate moved. If a guardrail signalled in that stretch, the move is known and is
  reported as harm; if none did, the system changed unnoticed and the verdict is
  invalid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from pydantic import ValidationError

from sandbox import __version__
from sandbox.findings.designs import (
    drift_bounds,
    judged_units,
    looks_at,
    measure_of,
    posterior_of,
    read,
)
from sandbox.findings.evidence import Stratum, TrialEvidence, strata_of
from sandbox.findings.reading import Seen, counted, figure
from sandbox.findings.tally import Tally, look_points, tallies, tally, units_of
from sandbox.model.application import Hypothesis
from sandbox.model.finding import Bounds, Counts, Look, PosteriorShares, Verdict
from sandbox.model.observation import Observation
from sandbox.model.sentences import word


class GoalJudgement(NamedTuple):
    """What the data say of one goal."""

    verdict: Verdict
    reason: str
    """Why it is invalid or inconclusive, or what else must be said; may be empty."""
    counts: Counts
    missing: int
    estimate: float | None
    bounds: Bounds | None
    log_evalue: float | None
    posterior: PosteriorShares | None
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
    return _look(goal, units, tally(units), (trial_id, number, at))


def look_problem(body: Mapping[str, Any]) -> str:
    """Return what is wrong with a record of a look; empty where it is one.

    Args:
        body: JSON-ready data, as an entry of the log carries it.
    """
    try:
        Look.model_validate(body)
    except ValidationError as error:
        found = (word(item, Look) for item in error.errors(include_url=False))
        return "; ".join(f"{item.what}. {item.remedy}" for item in found)
    return ""


def judge_goal(goal: Hypothesis, evidence: TrialEvidence) -> GoalJudgement:
    """Judge one goal on all units of its rule."""
    units = units_of(goal.estimand.of, evidence.observations)
    looks = _looks(goal, units, evidence.trial_id)
    final = tally(units)
    missing = evidence.missing.get(goal.estimand.of, 0)
    reading = read(goal, Seen(units, final.counts, missing))
    broken = " ".join(evidence.integrity)
    if reading.verdict != "invalid":
        broken = broken or _unnoticed_change(goal, units, evidence)
    if broken:
        reading = reading._replace(verdict="invalid", reason=broken)
    invalid = reading.verdict == "invalid"
    return GoalJudgement(
        reading.verdict,
        reading.reason,
        final.counts,
        missing,
        reading.estimate,
        reading.bounds,
        None if invalid else reading.log_evalue,
        posterior_of(goal, counted(judged_units(goal, units))),
        final.digest,
        looks,
        tuple(units),
        strata_of(units, evidence),
    )


def _looks(
    goal: Hypothesis, units: Sequence[Observation], trial_id: str
) -> tuple[Look, ...]:
    points = looks_at(goal, len(units))
    looks: list[Look] = []
    for number, seen in enumerate(tallies(units)):
        if number in points and seen.until is not None:
            place = (trial_id, len(looks) + 1, seen.until)
            looks.append(_look(goal, units[:number], seen, place))
    return tuple(looks)


def _look(
    goal: Hypothesis,
    units: Sequence[Observation],
    seen: Tally,
    place: tuple[str, int, datetime],
) -> Look:
    trial_id, number, at = place
    reading = read(goal, Seen(units, seen.counts))
    return Look(
        trial_id=trial_id,
        number=number,
        subject=goal.goal,
        purpose="goal",
        counts=seen.counts,
        estimate=reading.estimate,
        bounds=reading.bounds,
        threshold=goal.threshold,
        data_digest=seen.digest,
        code_version=__version__,
        at=at,
        measure=measure_of(goal),
    )


def _unnoticed_change(
    goal: Hypothesis, units: Sequence[Observation], evidence: TrialEvidence
) -> str:
    """Say where intervals within one stratum exclude each other, if they do.

    Two arms are compared in blocks that follow each other, so both may change together.
    """
    if goal.design == "two-arm":
        return ""
    judged = judged_units(goal, units)
    for stratum in strata_of(judged, evidence):
        if stratum.signalled:
            continue
        points = look_points(len(stratum.units))
        lower, upper = -math.inf, math.inf
        for number, seen in enumerate(tallies(stratum.units)):
            if number not in points:
                continue
            bounds = drift_bounds(goal, stratum.units[:number], seen.counts)
            lower, upper = max(lower, bounds.lower), min(upper, bounds.upper)
            if lower > upper:
                return (
                    "The rate changed while no guardrail signalled: by"
                    f" {seen.until:%H:%M:%S} UTC one interval lies above"
                    f" {figure(goal, lower)} and another below {figure(goal, upper)},"
                    " so no single rate fits."
                )
    return ""
