"""No harm design stops a system at its baseline in more than alpha of trials.

Each threshold is checked by an obvious reference: the law of the count, carried from
unit to unit, and what signals at a look taken away by the very statistic used live. It
shares nothing with the recursion that found the threshold. Beyond that, trials are
drawn from fixed seeds; the tolerance is four standard errors.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from sandbox.model.rule import HarmLimit
from sandbox.monitor.limit import (
    group_of,
    horizon_units,
    limit_threshold,
    signal_chance,
)
from sandbox.monitor.maxsprt import poisson_maxsprt_llr

RUNS = 20_000
CONTINUOUS = 1


class Case(NamedTuple):
    baseline_rate: float
    horizon: float
    alpha: float
    min_events: int
    group: int

    def limit(self) -> HarmLimit:
        is_grouped = self.group != CONTINUOUS
        return HarmLimit(
            baseline_rate=self.baseline_rate,
            design="grouped-maxsprt" if is_grouped else "maxsprt",
            alpha=self.alpha,
            min_events=self.min_events,
            horizon=self.horizon,
            looks_every=self.group if is_grouped else None,
        )


CASES = [
    *(Case(0.02, 20.0, 0.01, 3, group) for group in (1, 2, 10, 50, 333, 1000)),
    *(Case(0.2, 1.0, 0.5, 1, group) for group in (1, 2)),
    Case(0.2, 1.0, 0.2, 1, 5),
    *(Case(0.5, 250.0, 0.05, 1, group) for group in (1, 7, 499, 500)),
    *(Case(0.002, 4.0, 0.05, 1, group) for group in (1, 24, 1999, 2000)),
    # The horizon ends inside a group, or just at its end but for rounding.
    *(Case(0.03, 29.99, 0.05, 2, group) for group in (50, 100)),
    *(Case(0.1, 30.0, 0.001, 5, group) for group in (3, 100, 299)),
]
"""At and around the limits: looks after every unit, groups that divide the watch and
that do not, one look only, the largest alpha, rare and frequent events."""


@lru_cache(maxsize=64)
def signalling(
    limit: HarmLimit, threshold: float, looks_every: int
) -> NDArray[np.int64]:
    """For each unit the least count that signals after it; out of reach between."""
    units = horizon_units(limit)
    least, count = np.full(units + 1, units + 1), 0
    for unit in range(looks_every, units + 1, looks_every):
        while count <= unit:
            llr = poisson_maxsprt_llr(events=count, expected=limit.baseline_rate * unit)
            if count >= limit.min_events and llr >= threshold:
                break
            count += 1
        least[unit] = count
    return least


def chance(limit: HarmLimit, threshold: float, rate: float, looks_every: int) -> float:
    """Chance of a signal within the horizon, unit by unit."""
    least = signalling(limit, threshold, looks_every)
    mass, signalled = np.zeros(len(least) + 1), 0.0
    mass[0] = 1.0
    for unit in range(1, len(least)):
        mass[1:] = mass[1:] * (1 - rate) + mass[:-1] * rate
        mass[0] *= 1 - rate
        signalled += float(mass[least[unit] :].sum())
        mass[least[unit] :] = 0.0
    return signalled


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_system_at_its_baseline_is_stopped_in_at_most_alpha(case: Case) -> None:
    """Exactly, and below the baseline in fewer; the product says the same chances."""
    limit, baseline = case.limit(), case.baseline_rate
    threshold = limit_threshold(limit)
    rates = [baseline * times for times in (0.5, 0.9, 1.0, 1.1, 1.9)]
    found = [chance(limit, threshold, rate, case.group) for rate in rates]
    assert 0 < found[2] <= case.alpha
    assert found == sorted(found)
    whole = horizon_units(limit)
    said = [signal_chance(limit, rate=rate, units=whole) for rate in rates]
    assert said == pytest.approx(found, abs=1e-9)


@pytest.mark.parametrize("case", [item for item in CASES if item.group > 1], ids=str)
def test_a_lower_threshold_of_a_group_would_break_the_promise(case: Case) -> None:
    """So the check can fail, and no power is given away."""
    limit = case.limit()
    below = limit_threshold(limit) - 2e-9
    assert chance(limit, below, case.baseline_rate, case.group) > case.alpha


@pytest.mark.parametrize("group", [50, 1000])
def test_looks_that_were_not_planned_break_the_promise(group: int) -> None:
    """Whoever looks at a grouped guardrail after every unit errs in more than alpha."""
    limit = Case(0.02, 20.0, 0.01, 3, group).limit()
    assert chance(limit, limit_threshold(limit), 0.02, CONTINUOUS) > 0.01


@pytest.mark.parametrize("case", CASES, ids=str)
def test_drawn_trials_signal_as_often_as_computed(case: Case) -> None:
    """20,000 trials at the baseline and at twice its rate, or near it."""
    limit = case.limit()
    least = signalling(limit, limit_threshold(limit), case.group)
    rng = np.random.default_rng(20110401)
    group = group_of(limit)
    looks = np.arange(group, len(least), group)
    for rate in (case.baseline_rate, min(2 * case.baseline_rate, 0.6)):
        counts = np.zeros(RUNS, dtype=np.int64)
        stopped = np.zeros(RUNS, dtype=bool)
        for look in looks:
            counts += rng.binomial(group, rate, size=RUNS)
            stopped |= counts >= least[look]
        exact = signal_chance(limit, rate=rate, units=horizon_units(limit))
        error = 4 * math.sqrt(max(exact * (1 - exact), 1 / RUNS) / RUNS)
        assert float(stopped.mean()) == pytest.approx(exact, abs=error)
