"""The locked plan: its digest, and whether it can show what it claims.

Rules of this module:

* A plan is identified by the digest of its canonical JSON; a changed plan is another
  plan, and what it adds later is exploratory for ever.
* Before a plan is locked, the innovator learns what it can show at best: a goal that
  the least number of units could never meet, even if all went well, is a defect, with
  the number of units it would take.
"""

from __future__ import annotations

from typing import NamedTuple

from sandbox.errors import JudgementError
from sandbox.findings.sequential import bernoulli_interval, unit_threshold
from sandbox.model.application import Defect, Harm, Hypothesis, TrialPlan
from sandbox.model.record import digest_of

_MANY = 10_000_000


class Feasibility(NamedTuple):
    """What a goal can show at best, with the least number of units of its plan."""

    goal: str
    units: int
    """The plan's least number of units."""
    best: float
    """The limit nearest to the claim, if every one of them goes well."""
    failures_allowed: int | None
    """How many may go wrong with the goal still met; None when it cannot be met."""
    units_needed: int
    """Units it takes, if all go well."""

    def sentence(self) -> str:
        """Return it in words for the innovator."""
        if self.failures_allowed is None:
            return (
                f"With {self.units} units the goal {self.goal} cannot be met even if"
                f" all go well: the limit reaches {self.best:.2%}. It takes"
                f" {self.units_needed} units without one that goes wrong."
            )
        return (
            f"With {self.units} units the goal {self.goal} is met if at most"
            f" {self.failures_allowed} go wrong; the least number of units that can"
            f" meet it is {self.units_needed}."
        )


def plan_digest(plan: TrialPlan) -> str:
    """Return the digest under which the plan is locked."""
    return digest_of(plan)


def feasibility(goal: Hypothesis) -> Feasibility:
    """Compute what the goal can show at best with its least number of units."""
    units = goal.minimum_units
    best = 1 - _distance(goal, units, 0)
    allowed = _failures_allowed(goal, units)
    shown = best if goal.estimand.proportion == "satisfied" else 1 - best
    return Feasibility(goal.goal, units, shown, allowed, _units_needed(goal))


def check_plan(
    plan: TrialPlan, *, file: str = "", most_units: int | None = None
) -> tuple[Defect, ...]:
    """Find every goal and harm of the plan that cannot be judged as written.

    Args:
        plan: The plan before it is locked.
        file: Name of the application, for the places of the defects.
        most_units: The most units the trial can see, by its caps and length, if known.

    Returns:
        All defects; none when the plan can be locked.
    """
    defects: list[Defect] = []
    for index, goal in enumerate(plan.goals):
        defects.extend(_goal_defects(goal, f"plan.goals.{index}", file, most_units))
    for index, harm in enumerate(plan.harms):
        defects.extend(_harm_defects(harm, f"plan.harms.{index}", file))
    return tuple(defects)


def _goal_defects(
    goal: Hypothesis, field: str, file: str, most_units: int | None
) -> list[Defect]:
    found = feasibility(goal)
    defects = []
    if found.failures_allowed is None:
        defects.append(
            Defect(
                code="plan/goal-cannot-be-met",
                what=found.sentence().removesuffix("."),
                remedy=f"Set minimum_units to at least {found.units_needed}, or lower"
                " the threshold",
                file=file,
                field=f"{field}.minimum_units",
            )
        )
    if most_units is not None and most_units < max(goal.minimum_units, 1):
        defects.append(
            Defect(
                code="plan/too-few-units",
                what=f"the goal {goal.goal} asks for {goal.minimum_units} units, and"
                f" the caps and length of the trial let it see at most {most_units}",
                remedy="Ask for a longer trial or higher caps, or for fewer units",
                file=file,
                field=f"{field}.minimum_units",
            )
        )
    return defects


def _harm_defects(harm: Harm, field: str, file: str) -> list[Defect]:
    signal = harm.signal
    try:
        unit_threshold(
            baseline_rate=harm.baseline_rate,
            horizon=signal.horizon,
            alpha=signal.alpha,
            min_events=signal.min_events,
        )
    except JudgementError as error:
        return [
            Defect(
                code="plan/harm-cannot-signal",
                what=f"the harm {harm.harm} cannot be watched as written:"
                f" {error.diagnosis.removesuffix('.')}",
                remedy="Change min_events, horizon or alpha so that a signal can come",
                file=file,
                field=f"{field}.signal",
            )
        ]
    return []


def _distance(goal: Hypothesis, units: int, failures: int) -> float:
    """How far the interval reaches from perfection, with so many failures."""
    lower, _ = bernoulli_interval(
        successes=units - failures,
        n=units,
        alpha=goal.alpha,
        t_opt=goal.minimum_units,
    )
    return 1 - lower


def _allowance(goal: Hypothesis) -> float:
    """Share of units that may fail with the claim still true."""
    if goal.estimand.proportion == "satisfied":
        return 1 - goal.threshold
    return goal.threshold


def _failures_allowed(goal: Hypothesis, units: int) -> int | None:
    if _distance(goal, units, 0) > _allowance(goal):
        return None
    low, high = 0, units
    while high - low > 1:
        middle = (low + high) // 2
        met = _distance(goal, units, middle) <= _allowance(goal)
        low, high = (middle, high) if met else (low, middle)
    return low


def _units_needed(goal: Hypothesis) -> int:
    low, high = 0, 1
    while _distance(goal, high, 0) > _allowance(goal) and high < _MANY:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        met = _distance(goal, middle, 0) <= _allowance(goal)
        low, high = (low, middle) if met else (middle, high)
    return high
