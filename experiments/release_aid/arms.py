"""Two arms, looked at block after block: the e-process beside a test for one look.

Rules of this module:

* The k-th block is the k-th of each arm in the order of the rows, so neither order nor
  size of a block depends on an outcome.
* The e-process is that of the plan's goal, `two_arm_log_value`. `log_values` is the
  same arithmetic for many trials at once, for chances by drawing; a test compares them.
* Arm a is the one with aid, and an event is an arrest: the claim is that b has more.
* The fixed test is the ordinary two-sided test of two proportions with pooled variance
  (chi-squared without correction); Fisher's exact test stands beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from sandbox.findings.arms import arms_of
from sandbox.findings.evalues import ArmCounts, two_arm_log_value
from sandbox.findings.sequential import bernoulli_limit
from sandbox.model.application import Arms, Hypothesis, TrialPlan
from sandbox.model.observation import Observation
from sandbox.model.record import Identifier, Record

Floats = NDArray[np.float64]


class Chances(Record):
    """How chances are found by drawing."""

    draws: int
    seed: int


class Looking(Record):
    """How often the comparison of the plan is looked at here."""

    goal: Identifier
    """The goal of the plan that compares the arms."""
    looks_every: int
    """Persons of each arm between the looks that are shown."""
    weeks_between_looks: int
    chances: Chances


class Question(NamedTuple):
    """The comparison as the plan fixed it, and how it is looked at."""

    goal: Hypothesis
    arms: Arms
    looking: Looking

    @property
    def block(self) -> int:
        """Persons of each arm in a block."""
        return self.arms.block_treated

    @property
    def enough(self) -> float:
        """Log e-value at which fewer arrests with aid are claimed."""
        return math.log(1 / self.goal.alpha)


def question_of(plan: TrialPlan, looking: Looking) -> Question:
    """Return the comparison of a plan."""
    goal = next(goal for goal in plan.goals if goal.goal == looking.goal)
    return Question(goal, arms_of(goal), looking)


def arrests(question: Question, units: Sequence[Observation], arm: str) -> Floats:
    """Return 1 for each person of an arm who was arrested, else 0, in order."""
    by = question.arms.by
    results = [unit.result for unit in units if unit.values[by] == arm]
    return np.asarray([result == "violated" for result in results], dtype=float)


def blocks_of(a: Floats, b: Floats, size: int) -> list[ArmCounts]:
    """Return the blocks of two arms; what fills no block is left over."""
    pairs = zip(_sums(a, size), _sums(b, size), strict=False)
    return [ArmCounts(int(x), size, int(y), size) for x, y in pairs]


def looks(question: Question, a: Floats, b: Floats) -> list[dict[str, Any]]:
    """Return every look that is shown, and the first at which alpha is reached."""
    blocks = blocks_of(a, b, question.block)
    shown, reached = [], False
    for number in range(1, len(blocks) + 1):
        value = two_arm_log_value(blocks[:number], claim="b")
        first = value >= question.enough and not reached
        reached = reached or first
        units = number * question.block
        if first or units % question.looking.looks_every == 0:
            shown.append(
                _look(question, a[:units], b[:units], value) | {"first": first}
            )
    return shown


def log_values(a: Floats, b: Floats, size: int) -> Floats:
    """Return the log e-value for fewer events in arm a after every block.

    Args:
        a: Events of arm a, 0 or 1; trials × units.
        b: Events of arm b, of the same shape.
        size: Units of each arm in a block.

    Returns:
        Trials × blocks.
    """
    x, y = _sums(a, size), _sums(b, size)
    before = size * np.arange(x.shape[-1])
    p = (np.cumsum(x, -1) - x + 1) / (before + 2)
    q = (np.cumsum(y, -1) - y + 1) / (before + 2)
    bets = _likelihood(x, size, p) + _likelihood(y, size, q)
    bets -= _likelihood(x + y, 2 * size, (p + q) / 2)
    return np.asarray(np.cumsum(np.where(q > p, bets, 0.0), axis=-1))


def fixed_p_values(a: Floats, b: Floats, size: int) -> Floats:
    """Return the p-value of the ordinary test after every block, as `log_values`."""
    x, y = np.cumsum(_sums(a, size), -1), np.cumsum(_sums(b, size), -1)
    units = size * np.arange(1, x.shape[-1] + 1)
    mean = (x + y) / (2 * units)
    spread = np.sqrt(2 * units * mean * (1 - mean))
    z = np.divide(x - y, spread, out=np.zeros_like(spread), where=spread > 0)
    return np.asarray(2 * stats.norm.sf(np.abs(z)))


def _look(question: Question, a: Floats, b: Floats, value: float) -> dict[str, Any]:
    units, events_a, events_b = len(a), int(a.sum()), int(b.sum())
    exact = stats.fisher_exact(
        [[events_a, units - events_a], [events_b, units - events_b]]
    )
    limit = bernoulli_limit(
        successes=events_a,
        n=units,
        alpha=question.goal.alpha,
        t_opt=100,
        claim="at_most",
    )
    return {
        "units_per_arm": units,
        "events_a": events_a,
        "events_b": events_b,
        "log_e_value": value,
        "fixed_p": float(fixed_p_values(a, b, units)[-1]),
        "fisher_p": float(exact.pvalue),
        "upper_limit_a": limit,
    }


def _sums(events: Floats, size: int) -> Floats:
    whole = events.shape[-1] // size * size
    parts = events[..., :whole].reshape(*events.shape[:-1], -1, size)
    return np.asarray(parts.sum(axis=-1))


def _likelihood(events: Floats, units: int, chance: Floats) -> Floats:
    return np.asarray(
        special.xlogy(events, chance) + special.xlog1py(units - events, -chance)
    )
