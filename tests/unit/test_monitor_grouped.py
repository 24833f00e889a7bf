"""Binomial and grouped MaxSPRT: exact, least threshold, refusals."""

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from sandbox.errors import JudgementError
from sandbox.monitor.crossing import binomial_law, poisson_law, stopping
from sandbox.monitor.grouped import (
    binomial_maxsprt_boundaries,
    binomial_maxsprt_llr,
    binomial_maxsprt_threshold,
    poisson_maxsprt_boundaries,
    poisson_maxsprt_group_threshold,
)
from sandbox.monitor.maxsprt import poisson_maxsprt_llr, poisson_maxsprt_threshold


def reference_llr(cases: int, events: int, ratio: float) -> float:
    """The maximised ratio, by going through alternatives one by one."""
    null = 1 / (1 + ratio)
    best = 0.0
    for p in np.linspace(null, 1, 20_001)[1:]:
        value = cases * math.log(p / null)
        if events > cases:
            if p == 1:
                continue
            value += (events - cases) * math.log((1 - p) / (1 - null))
        best = max(best, value)
    return best


@pytest.mark.parametrize("ratio", [0.5, 1.0, 4.0])
def test_the_ratio_is_the_largest_over_all_raised_chances(ratio: float) -> None:
    """The closed form equals the largest of a fine grid of alternatives."""
    for events, cases in ((1, 1), (7, 7), (7, 5), (7, 2), (30, 16), (5, 0)):
        found = binomial_maxsprt_llr(cases=cases, events=events, ratio=ratio)
        assert found == pytest.approx(reference_llr(cases, events, ratio), abs=1e-6)


def false_signals(
    threshold: float, looks: list[int], ratio: float, min_cases: int
) -> float:
    """Chance of a false signal, by adding up all sequences of cases and controls."""
    p, total = 1 / (1 + ratio), 0.0
    for events in product((0, 1), repeat=looks[-1]):
        cases = [sum(events[:look]) for look in looks]
        if any(
            count >= min_cases
            and binomial_maxsprt_llr(cases=count, events=look, ratio=ratio) >= threshold
            for count, look in zip(cases, looks, strict=True)
        ):
            count = sum(events)
            total += p**count * (1 - p) ** (looks[-1] - count)
    return total


@pytest.mark.parametrize(
    ("looks", "ratio", "alpha", "min_cases"),
    [
        (list(range(1, 11)), 4.0, 0.05, 1),
        (list(range(1, 10)), 1.0, 0.05, 1),
        (list(range(1, 11)), 1.5, 0.10, 4),
        ([3, 7, 10], 1.0, 0.05, 1),
        ([3, 5, 10], 0.7, 0.30, 2),
    ],
)
def test_no_lower_threshold_keeps_alpha(
    looks: list[int], ratio: float, alpha: float, min_cases: int
) -> None:
    """By enumeration of all sequences: alpha is kept, and just below it is not."""
    threshold = binomial_maxsprt_threshold(
        looks=looks, alpha=alpha, ratio=ratio, min_cases=min_cases
    )
    assert false_signals(threshold, looks, ratio, min_cases) <= alpha
    assert false_signals(threshold - 2e-9, looks, ratio, min_cases) > alpha


@pytest.mark.parametrize("alpha", [0.001, 0.01, 0.05, 0.5])
@pytest.mark.parametrize("ratio", [0.5, 1.0, 3.0, 10.0])
def test_false_signals_among_300_events_stay_within_alpha(
    alpha: float, ratio: float
) -> None:
    """Looking after every event or in groups of 20, with any ratio of controls."""
    for looks in (range(1, 301), range(20, 301, 20)):
        threshold = binomial_maxsprt_threshold(looks=looks, alpha=alpha, ratio=ratio)
        found = binomial_maxsprt_boundaries(
            looks=looks, threshold=threshold, ratio=ratio
        )
        chance = float(stopping(found, binomial_law(1 / (1 + ratio))).high.sum())
        assert 0 < chance <= alpha


def test_one_look_at_a_binomial_is_the_exact_binomial_test() -> None:
    """With a single look the signal comes where the exact test rejects."""
    threshold = binomial_maxsprt_threshold(looks=[40], alpha=0.05, ratio=2.0)
    found = binomial_maxsprt_boundaries(looks=[40], threshold=threshold, ratio=2.0)
    high = int(found.high[0])
    assert stats.binom.sf(high - 1, 40, 1 / 3) <= 0.05
    assert stats.binom.sf(high - 2, 40, 1 / 3) > 0.05


def test_looking_in_groups_signals_on_less() -> None:
    """Fewer looks spend less error, so the threshold is lower."""
    every = binomial_maxsprt_threshold(looks=range(1, 101), alpha=0.05, ratio=1.0)
    some = binomial_maxsprt_threshold(looks=range(10, 101, 10), alpha=0.05, ratio=1.0)
    assert some < every
    continuous = poisson_maxsprt_threshold(horizon=10, alpha=0.05)
    grouped = poisson_maxsprt_group_threshold(looks=range(1, 11), alpha=0.05)
    assert grouped < continuous


def test_grouped_poisson_approaches_the_continuous_test() -> None:
    """The finer the looks, the nearer the threshold comes from below."""
    coarse, fine = (
        poisson_maxsprt_group_threshold(
            looks=[number / per for number in range(1, 2 * per + 1)], alpha=0.05
        )
        for per in (10, 100)
    )
    continuous = poisson_maxsprt_threshold(horizon=2, alpha=0.05)
    assert coarse < fine < continuous
    assert continuous - fine < (continuous - coarse) / 2


@pytest.mark.parametrize("min_events", [1, 4])
def test_grouped_poisson_keeps_alpha_and_no_lower_threshold_does(
    min_events: int,
) -> None:
    """The chance carried from look to look is at most alpha, and just below it not."""
    looks = [5, 11, 17, 22, 30]
    threshold = poisson_maxsprt_group_threshold(
        looks=looks, alpha=0.05, min_events=min_events
    )
    chances = [
        float(stopping(found, poisson_law()).high.sum())
        for found in (
            poisson_maxsprt_boundaries(
                looks=looks, threshold=value, min_events=min_events
            )
            for value in (threshold, threshold - 2e-9)
        )
    ]
    assert chances[0] <= 0.05 < chances[1]


def test_grouped_boundaries_use_the_statistic_used_live() -> None:
    """The first count that signals is the first whose live ratio is enough."""
    looks = [0.4, 1.0, 7.5, 20.0]
    found = poisson_maxsprt_boundaries(looks=looks, threshold=3.0)
    for expected, high in zip(looks, found.high.tolist(), strict=True):
        assert poisson_maxsprt_llr(events=high, expected=expected) >= 3.0
        assert poisson_maxsprt_llr(events=high - 1, expected=expected) < 3.0


def test_a_watch_too_short_to_signal_is_refused() -> None:
    """Two matched events cannot be surprising at 5 %, and ten cannot come from nine."""
    with pytest.raises(JudgementError, match="can never signal"):
        binomial_maxsprt_threshold(looks=[1, 2], alpha=0.05, ratio=1.0)
    with pytest.raises(JudgementError, match="can hardly see 10"):
        binomial_maxsprt_threshold(looks=[9], alpha=0.05, ratio=1.0, min_cases=10)


def test_every_bad_argument_of_a_watch_is_named() -> None:
    """Looks, alpha, events and ratio are complained of at once."""
    with pytest.raises(JudgementError) as caught:
        binomial_maxsprt_threshold(looks=[3, 3], alpha=0.9, ratio=-1.0, min_cases=0)
    for name in ("looks", "alpha", "at least 1 event", "ratio"):
        assert name in caught.value.diagnosis
    for looks in ([], [2.5, 4], [1, math.nan], [1, math.inf]):
        with pytest.raises(JudgementError, match="looks"):
            binomial_maxsprt_threshold(looks=looks, alpha=0.05, ratio=1.0)
    with pytest.raises(JudgementError, match="controls for each"):
        binomial_maxsprt_llr(cases=3, events=2, ratio=1.0)
