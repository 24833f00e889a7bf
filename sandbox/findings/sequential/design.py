"""How often a design gives which verdict, and when: exactly, before the trial.

Rules of this module:

* A design of a goal is a table: at which numbers of units one looks, and which counts
  show the claim or refute it. A trial stops at the first look that does either.
* Its operating characteristics at a true rate come from carrying the law of the count
  from look to look (`sandbox.monitor.crossing`); none is simulated.
* At the boundary of the claim the chance of *met* is the chance of calling an unsafe
  system safe. For anytime designs it is at most alpha, whatever the looks; for a fixed
  design it is so with one look, and with more it is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from sandbox.errors import JudgementError
from sandbox.findings.sequential.fixed import tails
from sandbox.findings.sequential.mean import mean_log_values
from sandbox.findings.sequential.posterior import HALF
from sandbox.findings.sequential.proportion import Claim, log_mixtures, log_values
from sandbox.findings.sequential.two_stage import TwoStageDesign
from sandbox.monitor.crossing import (
    Boundaries,
    Floats,
    Ints,
    Stopping,
    binomial_law,
    least_counts,
    stopping,
)

_Shown = Callable[[Ints, Floats], NDArray[np.bool_]]
"""Whether counts at looks show that the proportion is on one side."""

_Values = Callable[[Ints, Floats, float, Claim, float], Floats]
"""Log e-values for claims about counts at looks."""


class GoalDesign(NamedTuple):
    """A claim about the proportion of units, and the counts that decide on it."""

    claim: Claim
    boundaries: Boundaries


class Characteristics(NamedTuple):
    """What a design does if units have the result in question with a given chance."""

    met: float
    not_met: float
    inconclusive: float
    """Chance that the last look has decided nothing."""
    stopping: Stopping
    """The law of the number of units: `mean()`, `quantile(share)`."""


class EverChances(NamedTuple):
    """Chances that a verdict is possible at some look, whatever came before it."""

    met: float
    not_met: float


def operating_characteristics(design: GoalDesign, *, rate: float) -> Characteristics:
    """Return the exact chances of each verdict, and the law of the number of units.

    Args:
        design: From one of the functions of this module.
        rate: The true chance per unit of what is counted, in [0, 1].

    Raises:
        JudgementError: The rate is not a chance.
    """
    if not 0 <= rate <= 1:
        raise JudgementError(f"A rate lies in [0, 1], not {rate}.")
    ends = stopping(design.boundaries, binomial_law(rate))
    high, low = float(ends.high.sum()), float(ends.low.sum())
    met, not_met = (high, low) if design.claim == "at_least" else (low, high)
    return Characteristics(met, not_met, ends.left, ends)


def ever_chances(design: GoalDesign, *, rate: float) -> EverChances:
    """Return the exact chance of each verdict for one who waits for that verdict alone.

    It is what an error guarantee speaks of: a trial that could be called *not met*, and
    goes on until it can be called *met*, is still wrong with at most that chance. The
    early stop of a two-stage design is no verdict that one may pass over: what holds
    for it are its `operating_characteristics`.

    Args:
        design: From one of the functions of this module.
        rate: The true chance per unit of what is counted, in [0, 1].
    """
    sizes, low, high = design.boundaries
    never = Boundaries(sizes, np.full_like(low, -1), sizes.astype(np.int64) + 1)
    law = binomial_law(rate)
    above = float(stopping(never._replace(high=high), law).high.sum())
    below = float(stopping(never._replace(low=low), law).low.sum())
    met, not_met = (above, below) if design.claim == "at_least" else (below, above)
    return EverChances(met, not_met)


def anytime_design(
    *,
    claim: Claim,
    threshold: float,
    alpha: float,
    t_opt: float,
    looks: Sequence[int],
) -> GoalDesign:
    """Judge by `bernoulli_interval`: met or not met as soon as it lies on one side.

    Args:
        claim: `at_least` the threshold, or `at_most`.
        threshold: The proportion claimed, inside (0, 1).
        alpha: Error chance of both sides together.
        t_opt: Sample size at which the interval is tightest.
        looks: Numbers of units, rising: `range(least, most + 1)` for every unit.
    """
    enough = math.log(1 / alpha)

    def refuted(counts: Ints, sizes: Floats) -> NDArray[np.bool_]:
        return log_mixtures(counts, sizes, threshold, t_opt) >= enough

    def above(counts: Ints, sizes: Floats) -> NDArray[np.bool_]:
        return refuted(counts, sizes) & (counts > threshold * sizes)

    def below(counts: Ints, sizes: Floats) -> NDArray[np.bool_]:
        return refuted(counts, sizes) & (counts < threshold * sizes)

    return _design(claim, looks, above, below)


def one_sided_design(
    *,
    claim: Claim,
    threshold: float,
    alpha: float,
    t_opt: float,
    looks: Sequence[int],
) -> GoalDesign:
    """Judge by `bernoulli_limit`, one limit for the claim and one against it.

    Args:
        claim: `at_least` the threshold, or `at_most`.
        threshold: The proportion claimed, inside (0, 1).
        alpha: Error chance of each side.
        t_opt: Sample size at which the limits are tightest.
        looks: Numbers of units, rising.
    """
    above, below = _refuted(log_values, threshold, alpha, t_opt)
    return _design(claim, looks, above, below)


def mean_design(
    *,
    claim: Claim,
    threshold: float,
    alpha: float,
    t_opt: float,
    looks: Sequence[int],
) -> GoalDesign:
    """Judge by `mean_log_value`, for values that are 0 or 1: its worst case.

    Args:
        claim: `at_least` the threshold, or `at_most`.
        threshold: The mean claimed, in [0, 1].
        alpha: Error chance of each side.
        t_opt: Sample size at which the boundary is tightest.
        looks: Numbers of units, rising.
    """
    above, below = _refuted(mean_log_values, threshold, alpha, t_opt)
    return _design(claim, looks, above, below)


def fixed_design(
    *, claim: Claim, threshold: float, alpha: float, looks: Sequence[int]
) -> GoalDesign:
    """Judge by `exact_p_value`. With more than one look it does not keep alpha.

    Args:
        claim: `at_least` the threshold, or `at_most`.
        threshold: The proportion claimed, inside (0, 1).
        alpha: Error chance of each side at one look.
        looks: One number of units; several show what peeking does.
    """

    def above(counts: Ints, sizes: Floats) -> NDArray[np.bool_]:
        return tails(counts, sizes, threshold, "at_least") <= alpha

    def below(counts: Ints, sizes: Floats) -> NDArray[np.bool_]:
        return tails(counts, sizes, threshold, "at_most") <= alpha

    return _design(claim, looks, above, below)


def jeffreys_design(
    *,
    claim: Claim,
    region: tuple[float, float],
    level: float,
    looks: Sequence[int],
) -> GoalDesign:
    """Judge by `jeffreys_posterior`: decided once so sure to be outside the region.

    Args:
        claim: `at_least` the region, or `at_most`.
        region: Least and largest proportion that make no difference.
        level: Posterior chance at which one calls it decided.
        looks: Numbers of units, rising.
    """

    def above(counts: Ints, sizes: Floats) -> NDArray[np.bool_]:
        a, b = counts + HALF, sizes - counts + HALF
        return np.asarray(special.betaincc(a, b, region[1]) >= level)

    def below(counts: Ints, sizes: Floats) -> NDArray[np.bool_]:
        a, b = counts + HALF, sizes - counts + HALF
        return np.asarray(special.betainc(a, b, region[0]) >= level)

    return _design(claim, looks, above, below)


def two_stage_design(design: TwoStageDesign) -> GoalDesign:
    """Judge by a two-stage design, whose claim is `at_least`."""
    sizes = np.asarray([design.n1, design.n], dtype=float)
    low = np.asarray([design.r1, design.r], dtype=np.int64)
    high = np.asarray([design.n1 + 1, design.r + 1], dtype=np.int64)
    return GoalDesign("at_least", Boundaries(sizes, low, high))


def _refuted(
    values: _Values, threshold: float, alpha: float, t_opt: float
) -> tuple[_Shown, _Shown]:
    enough = math.log(1 / alpha)

    def above(counts: Ints, sizes: Floats) -> NDArray[np.bool_]:
        return values(counts, sizes, threshold, "at_least", t_opt) >= enough

    def below(counts: Ints, sizes: Floats) -> NDArray[np.bool_]:
        return values(counts, sizes, threshold, "at_most", t_opt) >= enough

    return above, below


def _design(
    claim: Claim, looks: Sequence[int], above: _Shown, below: _Shown
) -> GoalDesign:
    sizes = np.asarray(looks, dtype=float)
    steps = np.diff(sizes, prepend=0.0)
    if not sizes.size or not np.all((steps >= 1) & (steps % 1 == 0)):
        raise JudgementError("Looks must be numbers of units that rise, at least one.")
    most = sizes.astype(np.int64)
    high = least_counts(above, sizes, most)
    low = least_counts(lambda *at: ~below(*at), sizes, most) - 1
    return GoalDesign(claim, Boundaries(sizes, low, high))
