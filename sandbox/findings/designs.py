"""Which design judges a goal, and at which units one looks."""

from __future__ import annotations

from collections.abc import Sequence

from sandbox.errors import JudgementError
from sandbox.findings.arms import read_arms
from sandbox.findings.means import read_mean, two_sided_mean
from sandbox.findings.proportions import (
    read_fixed,
    read_sequence,
    read_two_stages,
    two_sided,
    two_stages_of,
    with_result,
)
from sandbox.findings.reading import Reading, Seen
from sandbox.findings.sequential import jeffreys_posterior
from sandbox.findings.tally import look_points
from sandbox.model.application import Hypothesis, TrialPlan
from sandbox.model.finding import Bounds, Counts, Measure, PosteriorShares
from sandbox.model.observation import Observation

_READERS = {
    "confidence-sequence": read_sequence,
    "one-sided-sequence": read_sequence,
    "two-stage": read_two_stages,
    "fixed": read_fixed,
    "two-arm": read_arms,
}


def read(goal: Hypothesis, seen: Seen) -> Reading:
    """Return what the goal's design says of the units so far.

    Raises:
        JudgementError: The plan asks for what its design cannot judge.
    """
    if goal.estimand.mean is None:
        return _READERS[goal.design](goal, seen)
    if goal.design != "one-sided-sequence":
        raise JudgementError(
            f"The goal {goal.goal} is about a mean, which {goal.design} cannot judge;"
            " its plan must ask for one-sided-sequence."
        )
    return read_mean(goal, seen)


def looks_at(goal: Hypothesis, units: int) -> frozenset[int]:
    """Return the numbers of units at which the judge looks, of so many units."""
    if goal.design == "fixed":
        points: Sequence[int] = (goal.minimum_units,)
    elif goal.design == "two-stage":
        design = two_stages_of(goal)
        points = (design.n1, design.n)
    else:
        return look_points(units)
    return frozenset(point for point in points if point <= units)


def judged_units(
    goal: Hypothesis, units: Sequence[Observation]
) -> Sequence[Observation]:
    """Return the units a verdict can rest on: of a design that ends, the first ones."""
    if goal.design == "two-stage":
        return units[: two_stages_of(goal).n]
    return units[: goal.minimum_units] if goal.design == "fixed" else units


def drift_bounds(
    goal: Hypothesis, units: Sequence[Observation], counts: Counts
) -> Bounds:
    """Return the two-sided interval by which a quantity is found to have moved.

    Its chance of ever missing one constant value is alpha, whatever the design.
    """
    if goal.estimand.mean is None:
        return two_sided(goal, counts)
    return two_sided_mean(goal, units)


def measure_of(goal: Hypothesis) -> Measure:
    """Return what the goal's threshold, estimate and bounds speak of."""
    if goal.design == "two-arm":
        return "difference"
    return "mean" if goal.estimand.mean is not None else "proportion"


def goals_in_order(plan: TrialPlan) -> list[Hypothesis]:
    """Return the goals of a plan in its order of analysis; the others come last."""
    order = {goal: place for place, goal in enumerate(plan.order_of_analysis)}
    return sorted(plan.goals, key=lambda goal: order.get(goal.goal, len(order)))


def values_read(plan: TrialPlan) -> dict[str, tuple[str, ...]]:
    """Return which values of units a plan is judged by: rule → fields of spans."""
    found: dict[str, tuple[str, ...]] = {}
    for goal in plan.goals:
        rule = goal.estimand.of
        asked = (goal.estimand.mean, goal.arms.by if goal.arms else None)
        named = tuple(name for name in asked if name is not None)
        found[rule] = (*found.get(rule, ()), *named)
    return found


def posterior_of(goal: Hypothesis, counts: Counts) -> PosteriorShares | None:
    """Return what one may believe of a proportion; None for other quantities.

    Without a region of practical equivalence in the plan, it is the threshold alone.
    """
    if measure_of(goal) != "proportion":
        return None
    region = goal.equivalence
    least = region.least if region else goal.threshold
    most = region.most if region else goal.threshold
    found = jeffreys_posterior(
        successes=with_result(goal, counts),
        n=counts.satisfied + counts.violated,
        least=least,
        most=most,
    )
    return PosteriorShares(least=least, most=most, **found._asdict())
