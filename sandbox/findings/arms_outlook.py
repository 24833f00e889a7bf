"""How likely each verdict on two arms is, before the plan is locked, by drawing trials.

Rules of this module:

* The bet on a block is learned from the blocks before it, so trials with the same
  counts end with different evidence. A recursion would have to carry the evidence
  beside the counts: after eight pairs 4,951 states where there are 81 pairs of counts,
  and some two and a half times as many with each further pair. So trials are drawn,
  from a seed that is fixed.
* Evidence and verdict are those of the judge: `two_arm_paths` after every block, both
  claims, at least `minimum_units` judged (`arms.read_arms`).
* Drawn units fill their blocks. Where arms come by lot, unit by unit, the judge leaves
  some out (`arms`), so that a trial needs more units than are said here.
* What needs no drawing is not called drawn: a trial too short for its plan.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sandbox.errors import JudgementError
from sandbox.findings.arms import arms_of
from sandbox.findings.chances import Chances, Drawn, Outlook, values_around
from sandbox.findings.evalues import two_arm_paths
from sandbox.model.application import Hypothesis
from sandbox.monitor.crossing import Floats, Ints

CONTROL_RATE = 0.5
"""Chance assumed of the control arm where none is given."""
SEED = 210602693

_TRIALS, _FEWEST = 10_000, 100
_BETS = 100_000_000
"""So many blocks are drawn, over all true values and trials: about three seconds."""
_UNITS_A_BET = 20
"""To draw so many units takes as long as to bet on a block."""
_MOST_BETS = 100_000
"""Of a trial that needs more not even the fewest are drawn: it would take too long."""
_AT_ONCE = 30_000
"""Units of an arm, over all true values, that are drawn together: what a processor's
cache holds."""


class Outcomes(NamedTuple):
    """What comes of trials; arrays of one shape, without the axis of the blocks."""

    met: NDArray[np.bool_]
    """At the end."""
    not_met: NDArray[np.bool_]
    first: Ints
    """Blocks until a verdict is first possible; 0 where none ever is."""


def arms_outlook(
    goal: Hypothesis,
    *,
    units: int,
    control_rate: float = CONTROL_RATE,
    differences: Sequence[float] = (),
) -> Outlook:
    """Draw how likely each verdict is, for several true differences of the arms.

    Args:
        goal: From the plan, of two arms.
        units: The most units that caps and length let the trial see, both arms
            together.
        control_rate: Chance, in (0, 1), that a unit of the control arm is satisfied.
        differences: Of the treated arm from it; without any, some on both sides of 0.

    Raises:
        JudgementError: The plan does not say its arms, the rate of the control arm
            does not lie in (0, 1), or that of the treated arm not in [0, 1].
    """
    _check_rate(control_rate)
    arms, asked = arms_of(goal), tuple(differences) or true_differences(control_rate)
    rates = [_treated_rate(control_rate, difference) for difference in asked]
    found = Outlook(goal.goal, goal.threshold, "difference", units, (), control_rate)
    size = arms.block_treated + arms.block_control
    blocks = units // size
    if blocks * size < goal.minimum_units:
        never = (Chances(value, 0.0, 0.0, 1.0, float(units), None) for value in asked)
        return found._replace(chances=tuple(never))
    trials = _trials(blocks, units, len(rates))
    if not trials:
        return found
    outcomes = _drawn_outcomes(goal, (control_rate, rates), blocks, trials)
    chances = tuple(
        _chances(value, Outcomes(*of_value), size, units)
        for value, *of_value in zip(asked, *outcomes, strict=True)
    )
    drawn = Drawn(trials, SEED, 0.5 / math.sqrt(trials))
    return found._replace(chances=chances, drawn=drawn)


def true_differences(control_rate: float) -> tuple[float, ...]:
    """Return differences of the treated arm on both sides of 0, best first.

    Raises:
        JudgementError: The rate of the control arm does not lie in (0, 1).
    """
    _check_rate(control_rate)
    rates = values_around(control_rate, (0.0, 1.0), claim="at_least")
    return tuple(round(rate - control_rate, 12) for rate in rates)


def outcomes_of(goal: Hypothesis, treated: Floats, control: Floats) -> Outcomes:
    """Return what the judge says of many trials of two arms.

    Args:
        goal: From the plan.
        treated: Satisfied units of the treated arm in each block; the last axis is
            that of the blocks, the others are trials.
        control: Those of the control arm; a trial may share them with others.

    Raises:
        JudgementError: The plan does not say its arms.
    """
    arms = arms_of(goal)
    sizes = arms.block_treated, arms.block_control
    better, worse = two_arm_paths(treated, control, units=sizes)
    enough = math.log(1 / goal.alpha)
    judged = sum(sizes) * np.arange(1, better.shape[-1] + 1)
    is_judged = judged >= goal.minimum_units
    met, not_met = (better >= enough) & is_judged, (worse >= enough) & is_judged
    decided = met | not_met
    first = np.where(decided.any(axis=-1), decided.argmax(axis=-1) + 1, 0)
    return Outcomes(met[..., -1], not_met[..., -1] & ~met[..., -1], first)


def _check_rate(control_rate: float) -> None:
    if not 0 < control_rate < 1:
        raise JudgementError(
            f"The rate of the control arm must lie between 0 and 1, not {control_rate}:"
            " it is the chance that one of its units is satisfied."
        )


def _treated_rate(control_rate: float, difference: float) -> float:
    rate = round(control_rate + difference, 12)
    if not 0 <= rate <= 1:
        raise JudgementError(
            f"With {control_rate} in the control arm, a difference of {difference}"
            f" would make {rate} of the treated arm, which is no chance."
        )
    return rate


def _trials(blocks: int, units: int, rates: int) -> int:
    """How many trials can be drawn in bearable time; none of a very long one."""
    bets = max(blocks, units // _UNITS_A_BET)
    if bets > _MOST_BETS:
        return 0
    return min(_TRIALS, max(_FEWEST, _BETS // (bets * rates)))


def _drawn_outcomes(
    goal: Hypothesis, rates: tuple[float, list[float]], blocks: int, trials: int
) -> Outcomes:
    """Draw trials a few at a time; the first axis is that of the treated rates."""
    arms, (control_rate, treated_rates) = arms_of(goal), rates
    # The stream of this generator is frozen, unlike those of numpy's newer ones.
    draws = np.random.RandomState(SEED)
    units = blocks * max(arms.block_treated, arms.block_control)
    step = max(1, _AT_ONCE // (units * len(treated_rates)))
    parts = []
    for start in range(0, trials, step):
        shape = (min(step, trials - start), blocks)
        treated = _satisfied(draws, treated_rates, (arms.block_treated, *shape))
        control = _satisfied(draws, [control_rate], (arms.block_control, *shape))
        parts.append(outcomes_of(goal, treated, control))
    found = zip(*parts, strict=True)
    return Outcomes(*(np.concatenate(part, axis=1) for part in found))


def _satisfied(
    draws: np.random.RandomState, rates: list[float], shape: tuple[int, ...]
) -> Floats:
    """Rates × trials × blocks; one random number decides a unit at every rate."""
    below = draws.random_sample(shape)[:, None] < np.asarray(rates)[:, None, None]
    return np.asarray(below.sum(axis=0, dtype=float))


def _chances(value: float, outcomes: Outcomes, size: int, units: int) -> Chances:
    met, not_met, first = outcomes
    trials, decided = len(first), np.sort(first[first > 0])
    needed = math.ceil(0.9 * trials)
    until = np.where(first > 0, first * size, units)
    yes, no = int(met.sum()), int(not_met.sum())
    return Chances(
        value,
        yes / trials,
        no / trials,
        (trials - yes - no) / trials,
        float(until.mean()),
        int(decided[needed - 1]) * size if len(decided) >= needed else None,
    )
