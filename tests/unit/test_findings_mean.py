"""Means of bounded values: exact coverage, bets, intervals that exclude each other."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.errors import JudgementError
from sandbox.findings.sequential import (
    Claim,
    betting_interval,
    betting_log_value,
    mean_interval,
    mean_log_value,
    running_intersection,
    scaled,
)

ALPHA = 0.05
VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=40)


def test_the_interval_is_that_of_the_normal_mixture() -> None:
    """By the closed form of the boundary, with variance factor 1/4."""
    n, t_opt = 400, 100.0
    spread = 2 * math.log(20)
    rho = t_opt / 4 / (spread + math.log(1 + spread))
    radius = math.sqrt((n / 4 + rho) * math.log((n / 4 + rho) / (rho * ALPHA**2))) / n
    found = mean_interval(total=120, n=n, alpha=ALPHA, t_opt=t_opt)
    assert found == pytest.approx((0.3 - radius, 0.3 + radius))


@pytest.mark.parametrize("claim", ["at_least", "at_most"])
def test_the_value_of_a_mean_is_at_most_one_on_average(claim: Claim) -> None:
    """For values of 0 and 1, over all samples, at the threshold and worse."""
    n, threshold = 25, 0.3
    for p in (0.3, 0.15) if claim == "at_least" else (0.3, 0.6):
        mean = sum(
            math.comb(n, k)
            * p**k
            * (1 - p) ** (n - k)
            * math.exp(
                mean_log_value(total=k, n=n, threshold=threshold, claim=claim, t_opt=25)
            )
            for k in range(n + 1)
        )
        assert 0 < mean <= 1


@pytest.mark.parametrize("p", [0.05, 0.3, 0.5, 0.9])
def test_bets_refute_the_truth_with_at_most_alpha(p: float) -> None:
    """Over all sequences of 8 zeros and ones, the true mean is refuted that rarely.

    Also the mean capital is exactly 1: no bet wins on average.
    """
    for claim in ("at_least", "at_most"):
        refuted, capital = 0.0, 0.0
        for units in product((0.0, 1.0), repeat=8):
            count = sum(units)
            chance = p**count * (1 - p) ** (8 - count)
            path = [
                betting_log_value(
                    values=units[:n], threshold=p, claim=claim, alpha=ALPHA
                )
                for n in range(1, 9)
            ]
            refuted += chance * (max(path) >= math.log(1 / ALPHA))
            capital += chance * math.exp(path[-1])
        assert refuted <= ALPHA
        assert capital == pytest.approx(1)


@settings(max_examples=60)
@given(values=VALUES)
def test_the_interval_is_what_no_bet_has_refuted(values: list[float]) -> None:
    """A mean lies inside if and only if both bets on it stayed below 2 / alpha."""
    found = betting_interval(values=values, alpha=0.3)
    enough = math.log(2 / 0.3)
    for mean in np.linspace(0.01, 0.99, 15):
        best = max(
            betting_log_value(values=values[:n], threshold=mean, claim=claim, alpha=0.3)
            for claim in ("at_least", "at_most")
            for n in range(1, len(values) + 1)
        )
        if abs(best - enough) > 1e-6 and found.limits:
            assert (found.limits[0] < mean < found.limits[1]) == (best < enough)


def test_bets_see_that_values_vary_little() -> None:
    """Of values within 2 % of each other betting tells far more than their sum."""
    values = np.random.default_rng(7).uniform(0.49, 0.51, size=1000)
    limits = betting_interval(values=values, alpha=ALPHA).limits
    total = mean_interval(total=float(values.sum()), n=1000, alpha=ALPHA, t_opt=1000)
    assert limits is not None
    assert limits[0] < 0.5 < limits[1]
    assert limits[1] - limits[0] < (total[1] - total[0]) / 5


def test_values_that_moved_are_invalid_and_never_an_inverted_interval() -> None:
    """Zeros, then ones: every mean is refuted, and that is what is reported."""
    moved = betting_interval(values=[0.0] * 200 + [1.0] * 200, alpha=ALPHA)
    assert moved.limits is None
    assert "no single value fits" in moved.reason
    drifted = running_intersection([(0.0, 0.29), (0.1, 0.5), (0.38, 0.6)])
    assert drifted.limits is None
    assert "above 0.38 and another below 0.29" in drifted.reason


@given(limits=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=6))
def test_a_running_intersection_is_in_order_or_invalid(
    limits: list[tuple[float, float]],
) -> None:
    """Its limits are those of the narrowest on each side, or there are none."""
    found = running_intersection(limits)
    lower = max((low for low, _ in limits), default=0.0)
    upper = min((high for _, high in limits), default=1.0)
    assert found.limits == ((lower, upper) if lower <= upper else None)
    assert bool(found.reason) == (found.limits is None)


def test_without_values_everything_is_possible() -> None:
    """Before the first unit there is neither an interval nor evidence."""
    assert mean_interval(total=0, n=0, alpha=ALPHA, t_opt=10) == (0.0, 1.0)
    assert betting_interval(values=[], alpha=ALPHA).limits == (0.0, 1.0)
    for claim in ("at_least", "at_most"):
        value = mean_log_value(total=0, n=0, threshold=0.4, claim=claim, t_opt=10)
        assert value == pytest.approx(0)
        assert (
            betting_log_value(values=[], threshold=0.4, claim=claim, alpha=ALPHA) == 0
        )


def test_values_are_scaled_by_bounds_they_may_not_pass() -> None:
    """Seconds become shares of the range; the first value outside is named."""
    assert scaled(values=[2, 3, 6], least=2, most=6).tolist() == [0, 0.25, 1]
    with pytest.raises(JudgementError, match=r"2 of 4 .* number 2: 7"):
        scaled(values=[2, 7, 3, math.nan], least=2, most=6)
    with pytest.raises(JudgementError, match="must rise"):
        scaled(values=[], least=2, most=2)


def test_every_bad_argument_of_a_mean_is_named() -> None:
    """Totals, alpha, t_opt, thresholds and values out of range are refused."""
    with pytest.raises(JudgementError) as caught:
        mean_interval(total=4, n=3, alpha=0, t_opt=-1)
    for name in ("add up to 4", "alpha", "t_opt"):
        assert name in caught.value.diagnosis
    with pytest.raises(JudgementError) as caught:
        betting_interval(values=[0.5, 1.5], alpha=1)
    for name in ("values", "alpha"):
        assert name in caught.value.diagnosis
    with pytest.raises(JudgementError, match="threshold"):
        mean_log_value(total=1, n=3, threshold=2, claim="at_most", t_opt=9)
    with pytest.raises(JudgementError, match="threshold"):
        betting_log_value(values=[0.5], threshold=-1, claim="at_most", alpha=0.05)
