"""Goals that compare two randomised arms, block by block.

Rules of this module:

* Blocks follow each other in time, each arm with the number of units that the plan
  fixed: neither order nor size depends on what is observed in them. While a block
  waits for one arm, the latest units of the other are kept for it; earlier ones are not
  judged. Were they kept for later blocks, an early unit of one arm would meet a late
  one of the other, and what changed for both meanwhile would pass for a difference.
* What is compared is the proportion satisfied, whichever result the estimand names: the
  claim is that the treated arm keeps the rule more often.
* A unit that cannot be evaluated counts as satisfied in one arm and as violated in the
  other, both ways; a verdict stands only if both ways give it.
* A unit whose arm is not known could belong to either, and a lost one too; which block
  they would have filled cannot be known. With any of them nothing is concluded.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from sandbox.errors import JudgementError
from sandbox.findings.evalues import ArmCounts, two_arm_log_value
from sandbox.findings.reading import Reading, Seen, kept_log, too_few
from sandbox.model.application import Arms, Hypothesis
from sandbox.model.finding import Verdict
from sandbox.model.observation import Observation
from sandbox.model.rule import RuleResult

_Blocks = list[tuple[Sequence[Observation], Sequence[Observation]]]


class ArmShare(NamedTuple):
    """One arm as it was seen."""

    name: str
    satisfied: int
    evaluable: int


def read_arms(goal: Hypothesis, seen: Seen) -> Reading:
    """Read a comparison of two arms after any unit."""
    arms = arms_of(goal)
    blocks = _blocks(arms, seen.units)
    treated, control = shares(goal, seen.units)
    estimate = None
    if treated.evaluable and control.evaluable:
        estimate = treated.satisfied / treated.evaluable
        estimate -= control.satisfied / control.evaluable
    better = two_arm_log_value(_counts(blocks, "violated", "satisfied"), claim="a")
    worse = two_arm_log_value(_counts(blocks, "satisfied", "violated"), claim="b")
    unknown = sum(_arm(arms, unit) is None for unit in seen.units) + seen.missing
    if unknown:
        reason = f"Of {unknown} units it is not known to which arm they belong."
        return Reading("inconclusive", reason, estimate, None, None)
    judged = len(blocks) * (arms.block_treated + arms.block_control)
    verdict, reason = _verdict(goal, better, worse)
    if judged < goal.minimum_units:
        verdict, reason = "inconclusive", too_few(goal.minimum_units, judged)
    return Reading(verdict, reason, estimate, None, kept_log(better))


def shares(goal: Hypothesis, units: Sequence[Observation]) -> tuple[ArmShare, ArmShare]:
    """Return what was seen of the treated and of the control arm."""
    arms = arms_of(goal)
    found = []
    for name in (arms.treated, arms.control):
        results = [unit.result for unit in units if _arm(arms, unit) == name]
        satisfied, violated = results.count("satisfied"), results.count("violated")
        found.append(ArmShare(name, satisfied, satisfied + violated))
    return found[0], found[1]


def arms_of(goal: Hypothesis) -> Arms:
    """Return how the arms of a goal are told apart.

    Raises:
        JudgementError: Its plan does not say.
    """
    if goal.arms is None:
        raise JudgementError(
            f"The goal {goal.goal} compares two arms, and its plan does not say `arms`."
        )
    return goal.arms


def _verdict(goal: Hypothesis, better: float, worse: float) -> tuple[Verdict, str]:
    enough = math.log(1 / goal.alpha)
    if better >= enough:
        return "met", ""
    if worse >= enough:
        return "not_met", "The evidence is that the treated arm does worse."
    return "inconclusive", "The evidence tells neither arm from the other."


def _arm(arms: Arms, unit: Observation) -> str | None:
    value = unit.values.get(arms.by)
    return str(value) if str(value) in (arms.treated, arms.control) else None


def _blocks(arms: Arms, units: Sequence[Observation]) -> _Blocks:
    waiting: dict[str | None, deque[Observation]] = {
        arms.treated: deque(maxlen=arms.block_treated),
        arms.control: deque(maxlen=arms.block_control),
    }
    blocks: _Blocks = []
    for unit in units:
        arm = _arm(arms, unit)
        if arm is None:
            continue
        waiting[arm].append(unit)
        if all(len(held) == held.maxlen for held in waiting.values()):
            treated, control = (tuple(held) for held in waiting.values())
            blocks.append((treated, control))
            for held in waiting.values():
                held.clear()
    return blocks


def _counts(
    blocks: _Blocks, treated_missing: RuleResult, control_missing: RuleResult
) -> list[ArmCounts]:
    return [
        ArmCounts(
            _satisfied(treated, treated_missing),
            len(treated),
            _satisfied(control, control_missing),
            len(control),
        )
        for treated, control in blocks
    ]


def _satisfied(units: Sequence[Observation], missing: RuleResult) -> int:
    results = [unit.result for unit in units]
    if missing == "satisfied":
        return len(results) - results.count("violated")
    return results.count("satisfied")
