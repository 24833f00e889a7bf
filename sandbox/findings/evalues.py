"""E-values: evidence that adds up across trials, looks and goals.

Rules of this module:

* An e-value is a non-negative number whose mean is at most 1 if the null hypothesis is
  true; so it reaches 1 / alpha with chance at most alpha (Markov, Ville). It is
  evidence against the null, and whoever looks at it early or often breaks nothing.
* E-values of independent trials of one null multiply; a later trial may be begun
  because of what an earlier one showed (optional continuation). All registered trials
  count: to leave out those that went badly is to choose the data.
* Of several nulls, `e_holm` keeps the chance of any false rejection, `e_bh` the share
  of false ones among the rejected; both hold however the e-values depend on each other
  (Vovk and Wang, "E-values: calibration, combination and applications", Annals of
  Statistics 49, 2021; Wang and Ramdas, "False discovery rate control with e-values",
  Journal of the Royal Statistical Society B 84, 2022).
* Everything is kept as logarithms: a product of many e-values has no largest number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from scipy import special

from sandbox.errors import JudgementError
from sandbox.monitor.crossing import Floats

_EVEN = 1.0
"""Weight of each outcome in the prior of an arm: uniform."""


class ArmCounts(NamedTuple):
    """One block of a trial with two arms: who was observed, and who had the event."""

    events_a: int
    units_a: int
    events_b: int
    units_b: int


class ArmPaths(NamedTuple):
    """Log e-values after every block of trials with two arms; last axis: blocks."""

    a: Floats
    """For the claim that arm a has the larger chance."""
    b: Floats
    """For the claim that arm b has."""


def combined(log_values: Mapping[str, float | None]) -> float:
    """Return the log e-value of all registered trials of one null together.

    Args:
        log_values: For every registered trial the log of its e-value; None for one that
            has not reported, which counts as no evidence (an e-value of 1).

    Raises:
        JudgementError: No trial is registered, or a value is not a number.
    """
    if not log_values:
        raise JudgementError(
            "No trial is registered for this question; register every trial before it "
            "begins, and give all of them."
        )
    _check(log_values)
    return math.fsum(value for value in log_values.values() if value is not None)


def e_holm(log_values: Mapping[str, float], *, alpha: float) -> tuple[str, ...]:
    """Return the nulls rejected with at most `alpha` chance of any false rejection.

    Args:
        log_values: Log e-value of each null, by its name.
        alpha: Chance, in (0, 1), of rejecting any null that is true.

    Returns:
        Their names, strongest evidence first; ties by name.

    Raises:
        JudgementError: `alpha` is out of range, or a value is not a number.
    """
    order = _ordered(log_values, alpha)
    rejected: list[str] = []
    for place, name in enumerate(order):
        # So many nulls are still in question when this one is looked at.
        if log_values[name] < math.log((len(order) - place) / alpha):
            break
        rejected.append(name)
    return tuple(rejected)


def e_bh(log_values: Mapping[str, float], *, alpha: float) -> tuple[str, ...]:
    """Return the nulls rejected with at most a share `alpha` of false rejections.

    Args:
        log_values: Log e-value of each null, by its name.
        alpha: Mean share, in (0, 1), of true nulls among the rejected.

    Returns:
        Their names, strongest evidence first; ties by name.

    Raises:
        JudgementError: `alpha` is out of range, or a value is not a number.
    """
    order = _ordered(log_values, alpha)
    enough = [
        place
        for place, name in enumerate(order, start=1)
        if log_values[name] >= math.log(len(order) / (alpha * place))
    ]
    return tuple(order[: max(enough, default=0)])


def two_arm_log_value(
    blocks: Sequence[ArmCounts], *, claim: Literal["differ", "a", "b"] = "differ"
) -> float:
    """Return the log e-value against "both arms have the same chance of the event".

    Each block is bet on with the chances learned from the blocks before it (Turner, Ly
    and Grünwald, "Generic E-variables for exact sequential k-sample tests that allow
    for optional stopping", arXiv:2106.02693): the likelihood under both arms' chances,
    against the likelihood under their mean weighted by the units of the block. The
    order and the sizes of the blocks must not depend on what is observed in them.

    Where one arm is claimed to have the larger chance, nothing is bet while the blocks
    before speak for the other. The value is then evidence against "no larger" too: it
    is a product over units whose mean falls when a chance of the claimed arm falls or
    one of the other rises, so nowhere in that null is it above 1.

    Args:
        blocks: In the order in which they were complete.
        claim: `differ`, or the arm that is claimed to have the larger chance.

    Returns:
        0 before the first block.

    Raises:
        JudgementError: A block has more events than units, or no unit in one of the
            arms.
    """
    for number, block in enumerate(blocks, start=1):
        _check_block(block, number)
    if not blocks:
        return 0.0
    counts = np.asarray(blocks, dtype=float)
    before = np.cumsum(counts, axis=0) - counts
    return float(np.sum(_bets(counts.T, before.T, claim)))


def two_arm_paths(
    events_a: Floats, events_b: Floats, *, units: tuple[int, int]
) -> ArmPaths:
    """Return `two_arm_log_value` after every block, of many trials at once.

    Args:
        events_a: Events of arm a in each block, at most its units; the last axis is
            that of the blocks, the others are trials.
        events_b: Those of arm b; a trial may share them with others (broadcasting).
        units: Units of arm a and of arm b in every block, at least one.
    """
    sizes = [np.full(events_a.shape[-1], float(size)) for size in units]
    counts = (events_a, sizes[0], events_b, sizes[1])
    before = [np.cumsum(items, axis=-1) - items for items in counts]
    growth, a, b = _growth(counts, before, _quick_log_likelihood)
    paths = [np.cumsum(np.where(bet, growth, 0.0), axis=-1) for bet in (a > b, b > a)]
    return ArmPaths(*paths)


def _bets(counts: Floats, before: Floats, claim: str) -> Floats:
    growth, a, b = _growth(counts, before, _log_likelihood)
    if claim == "differ":
        return growth
    return np.where(a > b if claim == "a" else b > a, growth, 0.0)


def _growth(
    counts: Iterable[Floats],
    before: Iterable[Floats],
    log_likelihood: Callable[[Floats, Floats, Floats], Floats],
) -> tuple[Floats, Floats, Floats]:
    """Log growth by each block, and the chances of the arms learned before it.

    Args:
        counts: As the fields of `ArmCounts`, of each block.
        before: The same, of all blocks before it.
        log_likelihood: Of events, units and a chance.
    """
    events_a, units_a, events_b, units_b = counts
    seen_events_a, seen_a, seen_events_b, seen_b = before
    a = (seen_events_a + _EVEN) / (seen_a + 2 * _EVEN)
    b = (seen_events_b + _EVEN) / (seen_b + 2 * _EVEN)
    units = units_a + units_b
    null = (units_a * a + units_b * b) / units
    growth = log_likelihood(events_a, units_a, a)
    growth = growth + log_likelihood(events_b, units_b, b)
    growth = growth - log_likelihood(events_a + events_b, units, null)
    return growth, a, b


def _log_likelihood(events: Floats, units: Floats, chance: Floats) -> Floats:
    return np.asarray(
        special.xlogy(events, chance) + special.xlog1py(units - events, -chance)
    )


def _quick_log_likelihood(events: Floats, units: Floats, chance: Floats) -> Floats:
    """`_log_likelihood` but for the last bits, quicker; the chance is inside (0, 1)."""
    return np.asarray(events * np.log(chance) + (units - events) * np.log1p(-chance))


def _check_block(block: ArmCounts, number: int) -> None:
    for arm, events, units in (
        ("a", block.events_a, block.units_a),
        ("b", block.events_b, block.units_b),
    ):
        if units < 1 or not 0 <= events <= units:
            raise JudgementError(
                f"Block {number}: arm {arm} has {events} events among {units} units. A "
                "block needs units of both arms, and no more events than units."
            )


def _ordered(log_values: Mapping[str, float], alpha: float) -> list[str]:
    if not 0 < alpha < 1:
        raise JudgementError(f"alpha must lie in (0, 1), not {alpha}.")
    _check(log_values)
    return sorted(log_values, key=lambda name: (-log_values[name], name))


def _check(log_values: Mapping[str, float | None]) -> None:
    wrong = [
        name
        for name, value in log_values.items()
        if value is not None and (math.isnan(value) or value == math.inf)
    ]
    if wrong:
        raise JudgementError(
            f"The log e-values of {', '.join(sorted(wrong))} are not numbers. Give the "
            "finite logarithm, or minus infinity for an e-value of 0."
        )
