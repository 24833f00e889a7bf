"""The finding on a goal in sentences: each quantity and design in its own words.

Rules of this module:

* A limit is rounded so that no claim grows, also that of a mean.
* What is described and decides nothing (the posterior) says so.
"""

from __future__ import annotations

import math

from sandbox.findings.arms import shares
from sandbox.findings.designs import judged_units, measure_of
from sandbox.findings.goal import GoalJudgement
from sandbox.findings.means import values_of
from sandbox.findings.proportions import with_result
from sandbox.findings.reading import counted
from sandbox.findings.wording import (
    VERDICT_WORDS,
    chance,
    lost_sentence,
    missing_sentence,
    percent,
    percent_down,
    percent_up,
)
from sandbox.model.application import Hypothesis
from sandbox.model.finding import Bounds, PosteriorShares

_SURE = {
    "confidence-sequence": ", whenever one looks,",
    "one-sided-sequence": " in each limit, whenever one looks,",
    "two-stage": ", whenever one looks,",
    "fixed": " in each limit, at this one look,",
}
_DIGITS = 4


def goal_statement(goal: Hypothesis, found: GoalJudgement) -> str:
    """Return the finding on a goal in words."""
    parts = [
        f"{VERDICT_WORDS[found.verdict]}: {_seen(goal, found)}",
        _interval(goal, found.bounds),
        found.reason,
        _missing(goal, found),
        lost_sentence(found.missing),
        _evidence(found.log_evalue),
        _belief(found.posterior),
    ]
    return " ".join(part for part in parts if part)


def _seen(goal: Hypothesis, found: GoalJudgement) -> str:
    measure, rule = measure_of(goal), goal.estimand.of
    if measure == "difference":
        arms = " and ".join(
            f"{arm.satisfied} of {arm.evaluable} in the arm {arm.name}"
            for arm in shares(goal, found.units)
        )
        return f"of the units ({goal.unit}) {arms} satisfied {rule}."
    if measure == "mean":
        known = len(values_of(goal.estimand, found.units))
        value = "" if found.estimate is None else f", {found.estimate:.4g}"
        return f"the mean of {goal.estimand.mean} over {known} units{value}."
    counts = counted(judged_units(goal, found.units))
    evaluable = counts.satisfied + counts.violated
    share = "" if found.estimate is None else f", {percent(found.estimate)}"
    return (
        f"{with_result(goal, counts)} of {evaluable} units ({goal.unit})"
        f" {goal.estimand.proportion} {rule}{share}."
    )


def _interval(goal: Hypothesis, bounds: Bounds | None) -> str:
    if bounds is None:
        return ""
    what, limit = "proportion", chance(goal.threshold)
    lower, upper = percent_down(bounds.lower), percent_up(bounds.upper)
    if measure_of(goal) == "mean":
        what, limit = "mean", f"{goal.threshold:g}"
        lower, upper = _down(bounds.lower), _up(bounds.upper)
    return (
        f"With {chance(1 - goal.alpha)} confidence{_SURE[goal.design]} the {what} lies"
        f" between {lower} and {upper}; the threshold is {limit}."
    )


def _missing(goal: Hypothesis, found: GoalJudgement) -> str:
    measure = measure_of(goal)
    if measure == "proportion":
        counts = counted(judged_units(goal, found.units))
        named = with_result(goal, counts)
        return missing_sentence(named, counts.not_evaluable, counts.units)
    missing = found.counts.not_evaluable
    if measure == "mean":
        missing = len(found.units) - len(values_of(goal.estimand, found.units))
    if not missing:
        return ""
    return f"Of {missing} further units the result is missing; it counts both ways."


def _evidence(log_evalue: float | None) -> str:
    if log_evalue is None:
        return ""
    return f"The log10 e-value for the claim is {log_evalue / math.log(10):.2f}."


def _belief(found: PosteriorShares | None) -> str:
    if found is None:
        return ""
    below, above = percent(found.below), percent(found.above)
    where = f"below the threshold with chance {below}, above it with {above}"
    if found.most > found.least:
        where = (
            f"between {percent(found.least)} and {percent(found.most)}, where it makes"
            f" no difference, with chance {percent(found.within)}, below with {below},"
            f" above with {above}"
        )
    return (
        "Described only, never decided on: after Jeffreys' prior the proportion lies"
        f" {where}."
    )


def _down(value: float) -> str:
    step = _step(value)
    return f"{math.floor(value / step + 1e-9) * step:.{_DIGITS}g}"


def _up(value: float) -> str:
    step = _step(value)
    return f"{math.ceil(value / step - 1e-9) * step:.{_DIGITS}g}"


def _step(value: float) -> float:
    size = math.floor(math.log10(abs(value))) if value else 0
    return float(10.0 ** (size - _DIGITS + 1))
