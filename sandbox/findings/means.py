"""Goals about the mean of a bounded value.

Rules of this module:

* The value is a field of the unit's span, kept with its observation. Where it is absent
  or no number, the unit is missing, and counts as the least possible value in one limit
  and as the most in the other. Whether the rule could be evaluated does not matter.
* A value outside the bounds of the plan breaks what the guarantee rests on: invalid.
"""

from __future__ import annotations

from collections.abc import Sequence

from sandbox.errors import JudgementError
from sandbox.findings.reading import Reading, Seen, by_bounds, kept_log, too_few
from sandbox.findings.sequential import (
    Claim,
    mean_interval,
    mean_limit,
    mean_log_value,
    scaled,
)
from sandbox.model.application import Estimand, Hypothesis
from sandbox.model.finding import Bounds
from sandbox.model.observation import Observation


def read_mean(goal: Hypothesis, seen: Seen) -> Reading:
    """Read the one-sided limits of a mean after any unit."""
    least, most = bounds_of(goal.estimand)
    values = values_of(goal.estimand, seen.units)
    try:
        shares = scaled(values=values, least=least, most=most)
    except JudgementError as error:
        return Reading("invalid", error.diagnosis, None, None, None)
    units = len(seen.units) + seen.missing
    total, most_total = float(shares.sum()), float(shares.sum()) + units - len(values)
    estimate = least + (most - least) * total / len(values) if values else None
    bounds = _bounds(goal, (total, most_total), units)
    verdict, reason = by_bounds(goal, bounds)
    if len(seen.units) < goal.minimum_units:
        verdict, reason = (
            "inconclusive",
            too_few(goal.minimum_units, len(seen.units)),
        )
    claim = goal.estimand.direction
    log_evalue = mean_log_value(
        total=total if claim == "at_least" else most_total,
        n=units,
        threshold=(goal.threshold - least) / (most - least),
        claim=claim,
        t_opt=goal.minimum_units,
    )
    return Reading(verdict, reason, estimate, bounds, kept_log(log_evalue))


def two_sided_mean(goal: Hypothesis, units: Sequence[Observation]) -> Bounds:
    """Return the two-sided interval of a mean, missing values counted both ways.

    Raises:
        JudgementError: A value lies outside the bounds of the plan.
    """
    least, most = bounds_of(goal.estimand)
    shares = scaled(values=values_of(goal.estimand, units), least=least, most=most)
    total, n = float(shares.sum()), len(units)
    lower, _ = mean_interval(
        total=total, n=n, alpha=goal.alpha, t_opt=goal.minimum_units
    )
    _, upper = mean_interval(
        total=total + n - len(shares), n=n, alpha=goal.alpha, t_opt=goal.minimum_units
    )
    return _unscaled(goal.estimand, lower, upper)


def values_of(estimand: Estimand, units: Sequence[Observation]) -> list[float]:
    """Return the values of the units that have one, in order."""
    found = [_value(estimand, unit) for unit in units]
    return [value for value in found if value is not None]


def bounds_of(estimand: Estimand) -> tuple[float, float]:
    """Return the least and the most that a value can be, by the plan."""
    if estimand.least is None or estimand.most is None:
        raise JudgementError("A mean needs the least and the most a value can be.")
    return estimand.least, estimand.most


def _value(estimand: Estimand, unit: Observation) -> float | None:
    value = unit.values.get(estimand.mean or "")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


def _bounds(goal: Hypothesis, totals: tuple[float, float], units: int) -> Bounds:
    def limit(total: float, claim: Claim) -> float:
        return mean_limit(
            total=total,
            n=units,
            alpha=goal.alpha,
            t_opt=goal.minimum_units,
            claim=claim,
        )

    least, most = totals
    return _unscaled(goal.estimand, limit(least, "at_least"), limit(most, "at_most"))


def _unscaled(estimand: Estimand, lower: float, upper: float) -> Bounds:
    least, most = bounds_of(estimand)
    width = most - least
    return Bounds(lower=least + width * lower, upper=least + width * upper)
