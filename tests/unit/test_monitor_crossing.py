"""The recursion that all designs share, against adding up every possible trial."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.monitor.crossing import (
    Boundaries,
    binomial_law,
    least_counts,
    poisson_law,
    stopping,
    unstopped,
)


@st.composite
def boundaries(draw: st.DrawFn) -> Boundaries:
    """Any looks among up to 9 units, with any counts to stop at."""
    looks = sorted(draw(st.sets(st.integers(1, 9), min_size=1)))
    low = [draw(st.integers(-1, look)) for look in looks]
    high = [draw(st.integers(floor + 1, 10)) for floor in low]
    return Boundaries(np.array(looks, dtype=float), np.array(low), np.array(high))


def by_enumeration(design: Boundaries, p: float) -> dict[tuple[str, int], float]:
    """Chance of each end, by going through all sequences of units one by one."""
    ends: dict[tuple[str, int], float] = {}
    looks = [round(size) for size in design.sizes]
    for units in product((0, 1), repeat=looks[-1]):
        chance = math.prod(p if unit else 1 - p for unit in units)
        end = ("left", looks[-1])
        for look, low, high in zip(looks, design.low, design.high, strict=True):
            count = sum(units[:look])
            if count <= low or count >= high:
                end = ("low" if count <= low else "high", look)
                break
        ends[end] = ends.get(end, 0.0) + chance
    return ends


@settings(max_examples=60)
@given(design=boundaries(), p=st.sampled_from([0.0, 0.05, 0.5, 0.83, 1.0]))
def test_the_recursion_equals_the_sum_over_all_sequences(
    design: Boundaries, p: float
) -> None:
    """For any design of few units each chance of stopping is exact."""
    found, ends = stopping(design, binomial_law(p)), by_enumeration(design, p)
    for number, look in enumerate(design.sizes):
        assert found.low[number] == pytest.approx(ends.get(("low", look), 0), abs=1e-12)
        high = ends.get(("high", look), 0)
        assert found.high[number] == pytest.approx(high, abs=1e-12)
    assert found.left == pytest.approx(ends.get(("left", design.sizes[-1]), 0))
    mean = sum(look * chance for (_, look), chance in ends.items())
    assert found.mean() == pytest.approx(mean)


def test_quantiles_are_the_first_looks_by_which_so_many_have_stopped() -> None:
    """Stopping at the first event: the number of units is geometric."""
    looks = np.arange(1.0, 41)
    design = Boundaries(looks, unstopped(40), np.ones(40, dtype=np.int64))
    found = stopping(design, binomial_law(0.1))
    for share in (0.05, 0.5, 0.9):
        units = math.ceil(math.log(1 - share) / math.log(0.9))
        assert found.quantile(share) == units
    assert found.quantile(0.999) == math.inf


def test_chances_far_below_the_rounding_of_one_are_kept() -> None:
    """A signal that is as rare as one in 10^15 is not lost in a difference."""
    design = Boundaries(np.array([1.0]), unstopped(1), np.array([20]))
    found = stopping(design, poisson_law())
    chance = sum(math.exp(-1) / math.factorial(k) for k in range(20, 40))
    assert found.high[0] == pytest.approx(chance, rel=1e-10)


def test_poisson_looks_in_steps_give_the_law_of_the_whole_stretch() -> None:
    """Without boundaries, the steps between looks add up to one Poisson law."""
    looks = np.array([0.3, 1.0, 4.0, 4.5])
    none = Boundaries(looks, unstopped(4), np.full(4, 10**6))
    assert stopping(none, poisson_law(2.0)).left == pytest.approx(1, abs=1e-12)
    last = none._replace(high=np.array([10**6] * 3 + [12]))
    tail = 1 - sum(math.exp(-9) * 9**k / math.factorial(k) for k in range(12))
    assert stopping(last, poisson_law(2.0)).high[3] == pytest.approx(tail)


def test_the_least_count_is_the_first_that_reaches_the_boundary() -> None:
    """Found for all looks at once; one beyond the possible where none reaches."""
    sizes, most = np.array([4.0, 9.0, 30.0]), np.array([4, 9, 30])
    found = least_counts(lambda counts, at: counts >= 2 + at / 3, sizes, most)
    assert found.tolist() == [4, 5, 12]
    never = least_counts(lambda counts, at: counts > at, sizes, most)
    assert never.tolist() == [5, 10, 31]
