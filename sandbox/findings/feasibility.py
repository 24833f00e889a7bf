"""What a goal can show, before its plan is locked: at best, and how likely.

Rules of this module:

* Chances are exact: the law of the count is carried from look to look
  (`sequential.design`). Those of two arms alone are drawn (`arms_outlook`), and say so.
* Two questions, two columns. What the trial concludes if it runs to its end is one look
  with all its units, as the judge takes it; after how many units a verdict is first
  possible is a look after every unit, of large trials after every unit at first.
* For a mean the values are taken to be the least and the most possible ones, nothing
  in between: the law of the largest variance.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from sandbox.findings.arms import arms_of
from sandbox.findings.arms_outlook import CONTROL_RATE, arms_outlook, true_differences
from sandbox.findings.chances import Chances, Outlook, values_around
from sandbox.findings.evalues import ArmCounts, two_arm_log_value
from sandbox.findings.means import bounds_of
from sandbox.findings.proportions import two_stages_of
from sandbox.findings.sequential import (
    GoalDesign,
    anytime_design,
    fixed_design,
    mean_design,
    one_sided_design,
    operating_characteristics,
    two_stage_design,
)
from sandbox.model.application import Hypothesis
from sandbox.model.finding import Measure
from sandbox.monitor.crossing import Boundaries

_MANY = 10_000_000
_EVERY, _WIDER = 1000, 1.005
"""So many looks are after every unit; from then on each is half a per cent further."""


class Feasibility(NamedTuple):
    """What a goal can show at best, with the least number of units of its plan."""

    goal: str
    units: int
    """The plan's least number of units."""
    best: float | None
    """The furthest threshold that so many units could show, if all go well; None for
    designs that know one threshold only."""
    failures_allowed: int | None
    """How many may go wrong with the goal still met; None when it cannot be met."""
    units_needed: int
    """Units it takes, if all go well."""
    measure: Measure = "proportion"
    first_stage: tuple[int, int] | None = None
    """Of two stages: the units of the first, and how many of them may go wrong."""

    def sentence(self) -> str:
        """Return it in words for the innovator."""
        if self.measure == "difference":
            return (
                f"The least number of units that can meet the goal {self.goal} is"
                f" {self.units_needed}: all of the treated arm in order, none of the"
                " other."
            )
        if self.failures_allowed is None:
            reached = ""
            if self.best is not None:
                written = f"{self.best:.2%}"
                if self.measure == "mean":
                    written = f"{self.best:.4g}"
                reached = f": the limit reaches {written}"
            return (
                f"With {self.units} units the goal {self.goal} cannot be met even if"
                f" all go well{reached}. It takes {self.units_needed} units without one"
                " that goes wrong."
            )
        early = ""
        if self.first_stage is not None:
            units, allowed = self.first_stage
            early = f", and at most {allowed} of the first {units}"
        return (
            f"With {self.units} units the goal {self.goal} is met if at most"
            f" {self.failures_allowed} go wrong{early}; the least number of units that"
            f" can meet it is {self.units_needed}."
        )


def feasibility(goal: Hypothesis) -> Feasibility:
    """Compute what the goal can show at best with its least number of units.

    Raises:
        JudgementError: There is no such design.
    """
    units = goal.minimum_units
    if goal.design == "two-arm":
        needed = _arms_needed(goal)
        allowed = 0 if needed <= units else None
        return Feasibility(goal.goal, units, None, allowed, needed, "difference")
    if goal.design == "two-stage":
        stages = two_stages_of(goal)
        return Feasibility(
            goal.goal,
            stages.n,
            None,
            stages.n - stages.r - 1,
            stages.n,
            first_stage=(stages.n1, stages.n1 - stages.r1 - 1),
        )
    measure: Measure = "proportion" if goal.estimand.mean is None else "mean"
    return Feasibility(
        goal.goal,
        units,
        _best(goal, units),
        _failures_allowed(goal, units),
        _units_needed(goal),
        measure,
    )


def outlook(
    goal: Hypothesis,
    *,
    units: int,
    values: tuple[float, ...] = (),
    control_rate: float = CONTROL_RATE,
) -> Outlook:
    """Compute how likely each verdict is, for several true values.

    Args:
        goal: From the plan.
        units: The most units that caps and length let the trial see.
        values: True values to ask for, of two arms their differences; without any,
            some on both sides of the threshold.
        control_rate: Of two arms: chance that a unit of the control arm is satisfied.

    Raises:
        JudgementError: There is no such design, or a value is not possible.
    """
    if goal.design == "two-arm":
        return arms_outlook(
            goal, units=units, control_rate=control_rate, differences=values
        )
    measure: Measure = "proportion" if goal.estimand.mean is None else "mean"
    asked = values or true_values(goal)
    every = _every_look(goal, units)
    if every is None:
        never = (Chances(value, 0.0, 0.0, 1.0, float(units), None) for value in asked)
        return Outlook(goal.goal, goal.threshold, measure, units, tuple(never))
    is_sequence = goal.design not in ("two-stage", "fixed")
    end = _design(goal, (units,)) if is_sequence else every
    chances = tuple(_chances(goal, every, end, value) for value in asked)
    return Outlook(goal.goal, goal.threshold, measure, units, chances)


def true_values(
    goal: Hypothesis, *, control_rate: float = CONTROL_RATE
) -> tuple[float, ...]:
    """Return values on both sides of the threshold, best for the claim first."""
    if goal.design == "two-arm":
        return true_differences(control_rate)
    claim = goal.estimand.direction
    return values_around(goal.threshold, _range(goal), claim=claim)


def value_range(
    goal: Hypothesis, *, control_rate: float = CONTROL_RATE
) -> tuple[float, float]:
    """Return the least and the largest true value worth a place in a picture."""
    found = true_values(goal, control_rate=control_rate)
    return min(found), max(found)


def _chances(
    goal: Hypothesis, every: GoalDesign, end: GoalDesign, value: float
) -> Chances:
    least, most = _range(goal)
    rate = (value - least) / (most - least)
    if goal.design == "two-stage" and goal.estimand.direction == "at_most":
        # Success is to be spared the event.
        rate = 1 - rate
    at_end = operating_characteristics(end, rate=rate)
    first = operating_characteristics(every, rate=rate).stopping
    by_then = first.quantile(0.9)
    return Chances(
        value,
        at_end.met,
        at_end.not_met,
        at_end.inconclusive,
        first.mean(),
        None if math.isinf(by_then) else round(by_then),
    )


def _every_look(goal: Hypothesis, units: int) -> GoalDesign | None:
    if goal.design == "two-stage":
        design = two_stage_design(two_stages_of(goal))
        seen = int((design.boundaries.sizes <= units).sum())
        sizes, low, high = design.boundaries
        cut = Boundaries(sizes[:seen], low[:seen], high[:seen])
        return design._replace(boundaries=cut) if seen else None
    least = goal.minimum_units
    if units < least:
        return None
    if goal.design == "fixed":
        return _design(goal, (least,))
    return _design(goal, _looks(least, units))


def _looks(least: int, units: int) -> tuple[int, ...]:
    near = min(least + _EVERY, units)
    points, point = {*range(least, near), units}, float(near)
    while point < units:
        points.add(int(point))
        point *= _WIDER
    return tuple(sorted(points))


def _design(goal: Hypothesis, looks: tuple[int, ...]) -> GoalDesign:
    claim, least, most = goal.estimand.direction, *_range(goal)
    threshold = (goal.threshold - least) / (most - least)
    if goal.design == "fixed":
        return fixed_design(
            claim=claim, threshold=threshold, alpha=goal.alpha, looks=looks
        )
    build = anytime_design
    if goal.design == "one-sided-sequence":
        build = one_sided_design if goal.estimand.mean is None else mean_design
    return build(
        claim=claim,
        threshold=threshold,
        alpha=goal.alpha,
        t_opt=goal.minimum_units,
        looks=looks,
    )


def _range(goal: Hypothesis) -> tuple[float, float]:
    return (0.0, 1.0) if goal.estimand.mean is None else bounds_of(goal.estimand)


def _failures_allowed(goal: Hypothesis, units: int) -> int | None:
    _, low, high = _design(goal, (units,)).boundaries
    allowed = units - int(high[0])
    if goal.estimand.direction == "at_most":
        allowed = int(low[0])
    return allowed if allowed >= 0 else None


def _units_needed(goal: Hypothesis) -> int:
    def enough(units: int) -> bool:
        return _failures_allowed(goal, units) is not None

    low, high = 0, 1
    while not enough(high) and high < _MANY:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _best(goal: Hypothesis, units: int) -> float:
    """Return the furthest threshold met if all go well, to a part in a million."""
    least, most = _range(goal)
    easy, hard = (least, most)
    if goal.estimand.direction == "at_most":
        easy, hard = most, least
    for _ in range(30):
        middle = (easy + hard) / 2
        asked = goal.model_copy(update={"threshold": middle})
        met = _failures_allowed(asked, units) is not None
        easy, hard = (middle, hard) if met else (easy, middle)
    return easy


def _arms_needed(goal: Hypothesis) -> int:
    arms = arms_of(goal)
    perfect = ArmCounts(arms.block_treated, arms.block_treated, 0, arms.block_control)
    blocks = [perfect]
    while two_arm_log_value(blocks, claim="a") < math.log(1 / goal.alpha):
        blocks.append(perfect)
    return len(blocks) * (arms.block_treated + arms.block_control)
