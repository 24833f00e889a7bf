"""Two-stage designs: stop early when it goes badly, with exact error chances.

Rules of this module:

* A design `(r1, n1, r, n)`: after `n1` units stop if at most `r1` succeeded; otherwise
  go on to `n` units and call the claim shown if more than `r` succeeded in all (Simon,
  "Optimal two-stage designs for phase II clinical trials", Controlled Clinical Trials
  10, 1989).
* Both searches are complete: every design that could be better is looked at. A question
  whose minimax design needs more than 200 units is refused, and not answered in part.
* What cuts the search is proven: no test of `n` units is more powerful than the most
  powerful one (Neyman and Pearson), so fewer units than that one needs are never
  enough; and the expected number of units grows with `n` for a given first stage.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from sandbox.errors import JudgementError
from sandbox.monitor.crossing import Floats, binomial_chances

_MOST_UNITS = 200
"""A plan that needs more is refused: two stages are for small trials, and a complete
search among more takes minutes, and soon hours."""
_EXACT = 1e-12
"""Rounding of sums of binomial chances."""


class TwoStageDesign(NamedTuple):
    """When to stop and when to call a claim shown."""

    r1: int
    """Stop after the first stage if at most so many succeeded."""
    n1: int
    """Units of the first stage."""
    r: int
    """The claim is not shown if at most so many succeeded in all."""
    n: int
    """Units of both stages."""

    def shown(self, p: float) -> float:
        """Return the chance of calling the claim shown when units succeed with `p`."""
        missing = self.r - np.arange(self.n1 + 1)
        second = _more_than(missing, self.n - self.n1, p)
        return float(np.sum((binomial_chances(self.n1, p) * second)[self.r1 + 1 :]))

    def stops_early(self, p: float) -> float:
        """Return the chance of stopping after the first stage."""
        return 1 - float(_more_than(self.r1, self.n1, p))

    def expected_units(self, p: float) -> float:
        """Return the mean number of units when they succeed with `p`."""
        return self.n1 + (1 - self.stops_early(p)) * (self.n - self.n1)


class TwoStageDesigns(NamedTuple):
    """The two designs of Simon for the same question."""

    optimal: TwoStageDesign
    """Fewest units on average where nothing is gained (`p0`)."""
    minimax: TwoStageDesign
    """Fewest units at most; among these, fewest on average."""


class _Question(NamedTuple):
    p0: float
    p1: float
    alpha: float
    beta: float


class _FirstStage(NamedTuple):
    """A number of units, and the limits that leave enough power."""

    n1: int
    limits: NDArray[np.int64]
    """Values of `r1`."""
    goes_on: Floats
    """For each, the chance under `p0` that there is a second stage."""


@lru_cache(maxsize=256)
def simon_two_stage(
    *, p0: float, p1: float, alpha: float, beta: float
) -> TwoStageDesigns:
    """Return Simon's optimal and minimax two-stage designs.

    Args:
        p0: Chance of success that is of no interest.
        p1: Chance of success that must not be missed, above `p0`.
        alpha: Largest chance of calling the claim shown at `p0`.
        beta: Largest chance of not calling it shown at `p1`.

    Returns:
        Both designs, each a tuple `(r1, n1, r, n)`.

    Raises:
        JudgementError: An argument is out of range, or the question needs more than
            200 units even by the minimax design.
    """
    asked = _Question(p0, p1, alpha, beta)
    _check(asked)
    minimax = _minimax(asked)
    return TwoStageDesigns(_optimal(asked, minimax), minimax)


def _check(asked: _Question) -> None:
    problems = []
    if not 0 < asked.p0 < asked.p1 < 1:
        problems.append(f"0 < p0 < p1 < 1 must hold, not {asked.p0} and {asked.p1}")
    if not 0 < asked.alpha < 1:
        problems.append(f"alpha must lie in (0, 1), not {asked.alpha}")
    if not 0 < asked.beta < 1:
        problems.append(f"beta must lie in (0, 1), not {asked.beta}")
    if not problems and asked.alpha + asked.beta >= 1:
        problems.append("alpha + beta must be below 1, or a coin would do")
    if problems:
        raise JudgementError("No two-stage design: " + "; ".join(problems) + ".")


def _least_units(asked: _Question) -> int:
    """Units below which not even the most powerful randomised test is enough."""
    for n in range(1, _MOST_UNITS + 1):
        false, true = (_more_than(np.arange(n + 1), n, p) for p in (asked.p0, asked.p1))
        limit = int(np.argmax(false <= asked.alpha))
        share = (asked.alpha - false[limit]) / binomial_chances(n, asked.p0)[limit]
        power = true[limit] + share * binomial_chances(n, asked.p1)[limit]
        if power >= 1 - asked.beta - _EXACT:
            return n
    raise _too_large(asked)


def _minimax(asked: _Question) -> TwoStageDesign:
    for n in range(max(_least_units(asked), 2), _MOST_UNITS + 1):
        found = [
            design
            for stage in _first_stages(asked, n - 1)
            for design in _Totals(asked, stage).designs(n)
        ]
        if found:
            return min(found, key=lambda item: _rank(item, asked))
    raise _too_large(asked)


def _optimal(asked: _Question, minimax: TwoStageDesign) -> TwoStageDesign:
    best, least = minimax, minimax.n
    for stage in _first_stages(asked, math.ceil(best.expected_units(asked.p0))):
        totals = _Totals(asked, stage)
        n = max(least, stage.n1 + 1)
        while _fewest(stage, n) < best.expected_units(asked.p0) - _EXACT:
            best = min([best, *totals.designs(n)], key=lambda it: _rank(it, asked))
            n += 1
    return best


def _rank(design: TwoStageDesign, asked: _Question) -> tuple[float, int]:
    # Rounded, so that designs that are equal do not depend on the order of sums.
    return round(design.expected_units(asked.p0), 9), design.n


def _fewest(stage: _FirstStage, n: int) -> float:
    """Expected units of the best design with this first stage and `n` units."""
    return float(stage.n1 + np.min(stage.goes_on) * (n - stage.n1))


def _first_stages(asked: _Question, most: int) -> Iterator[_FirstStage]:
    for n1 in range(1, most + 1):
        limits = np.arange(n1)
        # Stopping early must not cost more power than may be lost in all.
        keeps = 1 - _more_than(limits, n1, asked.p1) <= asked.beta + _EXACT
        if keeps.any():
            kept = limits[keeps]
            yield _FirstStage(n1, kept, _more_than(kept, n1, asked.p0))


class _Totals:
    """Laws of the total, for every limit of one first stage."""

    def __init__(self, asked: _Question, stage: _FirstStage) -> None:
        self._asked = asked
        self._stage = stage

    def designs(self, n: int) -> list[TwoStageDesign]:
        """Return, for every limit that allows one, the design with `n` units."""
        false, true = (
            _tails(self._stage, n, p) for p in (self._asked.p0, self._asked.p1)
        )
        # Column r: chance that more than r succeed. The least r is the most powerful.
        least = np.argmax(false <= self._asked.alpha + _EXACT, axis=1)
        least = np.maximum(least, self._stage.limits)
        power = np.take_along_axis(true, least[:, None], axis=1)[:, 0]
        enough = power >= 1 - self._asked.beta - _EXACT
        return [
            TwoStageDesign(int(limit), self._stage.n1, int(r), n)
            for limit, r, holds in zip(self._stage.limits, least, enough, strict=True)
            if holds
        ]


def _tails(stage: _FirstStage, n: int, p: float) -> Floats:
    """Row per limit: chance to go on and that the total is then above 0, 1, … n."""
    counts = np.arange(stage.n1 + 1)
    second = _more_than(np.arange(-1, n - stage.n1 + 1), n - stage.n1, p)
    asked = np.clip(np.arange(n + 1) - counts[:, None], -1, n - stage.n1)
    each = binomial_chances(stage.n1, p)[:, None] * second[asked + 1]
    above = np.cumsum(each[::-1], axis=0)[::-1]
    return np.asarray(above[stage.limits + 1])


def _more_than(counts: int | NDArray[np.int64], units: int, p: float) -> Floats:
    """Return the chances of more than so many successes among `units`."""
    chances: Floats = special.bdtrc(np.clip(counts, -1, units), units, p)
    return chances


def _too_large(asked: _Question) -> JudgementError:
    return JudgementError(
        f"To tell {asked.p1:g} from {asked.p0:g} with alpha {asked.alpha:g} and beta "
        f"{asked.beta:g} takes more than {_MOST_UNITS} units; ask for a larger "
        "difference, or judge by a confidence sequence."
    )
