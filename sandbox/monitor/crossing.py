"""Exact chances of stopping: the law of a count, carried from look to look.

Rules of this module:

* Every design that looks at a count is the same thing here: when it looks, and which
  counts stop it, low or high. What differs is how the boundaries are found.
* The law is carried forward by convolution with the events in between; what has stopped
  is gone. Nothing is simulated and nothing rests on a normal law.
* Chances of single counts below 1e-30 are dropped, so that a long watch stays quick;
  all of them together are smaller than the rounding of any sum.
* The stretch from one look to the next may be units (Bernoulli) or expected events
  (Poisson); a `Law` says how many events it brings.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Law = Callable[[float], Floats]
"""Chances of 0, 1, 2 … events over a stretch of the given size."""

PRECISION = 1e-9
"""To this a threshold is found where no threshold meets the error chance exactly."""

_NEGLIGIBLE = 1e-30
_LOG_NEGLIGIBLE = math.log(_NEGLIGIBLE)
_STEP = 0.5


class Boundaries(NamedTuple):
    """When one looks at a count, and which counts stop. Arrays of one length."""

    sizes: Floats
    """Looks in rising order: units, or events expected at the baseline rate."""
    low: Ints
    """Stop if the count is at most this; -1 where no count is low enough."""
    high: Ints
    """Stop if the count is at least this; a count out of reach where none is enough."""


class Stopping(NamedTuple):
    """How, and when, a watch over a count ends."""

    sizes: Floats
    """The looks of the design."""
    low: Floats
    """For each look, the chance that the watch stops there because of a low count."""
    high: Floats
    """For each look, the chance that it stops there because of a high count."""
    left: float
    """Chance that it never stops."""

    def mean(self) -> float:
        """Return the mean size; a watch that never stops counts with its last look."""
        ends = float(np.dot(self.sizes, self.low + self.high))
        return ends + self.left * float(self.sizes[-1])

    def quantile(self, share: float) -> float:
        """Return the first look by which at least this share of watches has stopped.

        Infinite where so many never stop.
        """
        stopped = np.cumsum(self.low + self.high)
        reached = np.flatnonzero(stopped >= share - 1e-12)
        return float(self.sizes[reached[0]]) if reached.size else math.inf


def stopping(boundaries: Boundaries, law: Law) -> Stopping:
    """Return the exact chances of stopping at each look.

    Args:
        boundaries: The design.
        law: How many events a stretch between two looks brings.
    """
    low, high = (np.zeros(len(boundaries.sizes)) for _ in range(2))
    # mass[i]: chance that the count is least + i and nothing has stopped yet.
    mass, least, before = np.ones(1), 0, 0.0
    for number, (size, floor, ceiling) in enumerate(zip(*boundaries, strict=True)):
        if size > before:
            mass = np.convolve(mass, law(float(size - before)))
        down = min(max(int(floor) + 1 - least, 0), len(mass))
        up = min(max(int(ceiling) - least, down), len(mass))
        low[number], high[number] = mass[:down].sum(), mass[up:].sum()
        kept = np.flatnonzero(mass[down:up] > _NEGLIGIBLE)
        if not kept.size:
            return Stopping(boundaries.sizes, low, high, 0.0)
        start, end = down + int(kept[0]), down + int(kept[-1]) + 1
        mass, least, before = mass[start:end], least + start, float(size)
    return Stopping(boundaries.sizes, low, high, float(mass.sum()))


def least_counts(
    reached: Callable[[Ints, Floats], NDArray[np.bool_]], sizes: Floats, most: Ints
) -> Ints:
    """Return for each look the least count that reaches a boundary.

    Args:
        reached: Of counts and sizes; once true of a count, true of every larger one.
        sizes: The looks.
        most: For each look, the largest count that is possible.

    Returns:
        `most` + 1 where no count reaches it.
    """
    low, high = np.zeros_like(most), most + 1
    while (open_ := low < high).any():
        middle = np.minimum((low + high) // 2, most)
        yes = reached(middle, sizes)
        high = np.where(open_ & yes, middle, high)
        low = np.where(open_ & ~yes, middle + 1, low)
    return low


def least_threshold(
    chance: Callable[[float], float], start: float, alpha: float
) -> float:
    """Return the least threshold above `start` whose chance is at most alpha, to 1e-9.

    Args:
        chance: Falls with the threshold; above alpha at `start`.
        start: Where to begin.
        alpha: The chance allowed.
    """
    low, high = start, start + _STEP
    while chance(high) > alpha:
        low, high = high, high + _STEP
    while high - low > PRECISION:
        middle = (low + high) / 2
        low, high = (low, middle) if chance(middle) <= alpha else (middle, high)
    return high


def binomial_chances(units: int, p: float) -> Floats:
    """Return the chances of 0, 1, … `units` successes."""
    counts = np.arange(units + 1)
    ways = special.gammaln(units + 1) - special.gammaln(counts + 1)
    ways -= special.gammaln(units - counts + 1)
    one_way = special.xlogy(counts, p) + special.xlog1py(units - counts, -p)
    return np.asarray(np.exp(ways + one_way))


def binomial_law(p: float) -> Law:
    """Return the law of units that succeed with chance `p`, one by one."""

    @lru_cache(maxsize=64)
    def law(size: float) -> Floats:
        return binomial_chances(round(size), p)

    return law


def poisson_law(rate: float = 1.0) -> Law:
    """Return the law of events that come at `rate` times the baseline rate."""

    @lru_cache(maxsize=64)
    def law(size: float) -> Floats:
        mean = rate * size
        counts = np.arange(int(mean + 14 * math.sqrt(mean) + 60))
        logs = special.xlogy(counts, mean) - mean - special.gammaln(counts + 1)
        return np.trim_zeros(
            np.exp(np.where(logs < _LOG_NEGLIGIBLE, -np.inf, logs)), "b"
        )

    return law


def unstopped(count: int) -> Ints:
    """Return lower boundaries that never stop, for so many looks."""
    return np.full(count, -1, dtype=np.int64)
