"""Proportions: reference values, exact means, limits as what is refuted, refusals."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sandbox.errors import JudgementError
from sandbox.findings.sequential import (
    Claim,
    bernoulli_interval,
    bernoulli_limit,
    bernoulli_log_mixture,
    bernoulli_log_value,
)

ALPHA = 0.05


def test_one_failure_in_fifty_reaches_the_published_limit() -> None:
    """1 violation in 50 gives an anytime upper limit of 13.5 % when tuned there."""
    lower, upper = bernoulli_interval(successes=1, n=50, alpha=0.05, t_opt=50)
    assert lower == 0.0
    assert upper == pytest.approx(0.1349, abs=5e-5)


@settings(deadline=None, max_examples=150)
@given(data=st.data(), n=st.integers(1, 400), t_opt=st.floats(5, 1000))
def test_the_interval_is_exactly_what_the_martingale_has_not_refuted(
    data: st.DataObject, n: int, t_opt: float
) -> None:
    """A proportion lies inside if and only if its martingale stays below 1 / alpha."""
    successes = data.draw(st.integers(0, n))
    lower, upper = bernoulli_interval(
        successes=successes, n=n, alpha=ALPHA, t_opt=t_opt
    )
    assert 0 <= lower <= successes / n <= upper <= 1
    for p in np.linspace(0.001, 0.999, 97):
        value = bernoulli_log_mixture(successes=successes, n=n, p=p, t_opt=t_opt)
        if abs(value - math.log(1 / ALPHA)) > 1e-6:
            assert (lower < p < upper) == (value < math.log(1 / ALPHA))


@given(n=st.integers(1, 300), k=st.integers(0, 300))
def test_successes_and_failures_mirror_each_other(n: int, k: int) -> None:
    """Counting failures instead gives the mirrored interval."""
    k = min(k, n)
    low, high = bernoulli_interval(successes=k, n=n, alpha=0.05, t_opt=100)
    other_low, other_high = bernoulli_interval(
        successes=n - k, n=n, alpha=0.05, t_opt=100
    )
    assert low == pytest.approx(1 - other_high, abs=1e-9)
    assert high == pytest.approx(1 - other_low, abs=1e-9)


def test_the_martingale_is_one_on_average() -> None:
    """Over all samples of a size its mean is exactly 1, whatever the proportion."""
    for n, p in ((7, 0.3), (40, 0.05), (40, 0.9)):
        mean = sum(
            math.comb(n, k)
            * p**k
            * (1 - p) ** (n - k)
            * math.exp(bernoulli_log_mixture(successes=k, n=n, p=p, t_opt=60))
            for k in range(n + 1)
        )
        assert mean == pytest.approx(1, rel=1e-9)


def test_no_units_say_nothing() -> None:
    """Before the first unit everything is possible."""
    assert bernoulli_interval(successes=0, n=0, alpha=0.05, t_opt=50) == (0.0, 1.0)


def test_every_bad_argument_is_named() -> None:
    """All problems are said at once."""
    with pytest.raises(JudgementError) as caught:
        bernoulli_interval(successes=5, n=3, alpha=2, t_opt=0)
    for name in ("successes", "alpha", "t_opt"):
        assert name in caught.value.diagnosis


def two_sided(successes: int, n: int, threshold: float) -> float:
    return bernoulli_log_mixture(successes=successes, n=n, p=threshold, t_opt=200)


def one_sided(successes: int, n: int, threshold: float) -> float:
    return bernoulli_log_value(
        successes=successes, n=n, threshold=threshold, claim="at_least", t_opt=200
    )


@pytest.mark.parametrize("value", [two_sided, one_sided])
def test_a_threshold_is_rarely_passed_even_when_the_rate_moves(
    value: Callable[[int, int, float], float],
) -> None:
    """The verdict speaks of the average chance, so a moving rate does not fool it.

    The chance per unit swings, and is so arranged that its average up to any unit never
    exceeds the threshold. Exact recursion: the share of trials in which the claim "at
    least the threshold" is ever shown stays within alpha.
    """
    threshold, units = 0.9, 300
    chances = [0.85, 0.95] * (units // 2)
    assert all(sum(chances[:n]) / n <= threshold + 1e-12 for n in range(1, units + 1))
    mass = np.zeros(units + 2)
    mass[0], fooled = 1.0, 0.0
    for n, p in enumerate(chances, start=1):
        mass[1:] = mass[1:] * (1 - p) + mass[:-1] * p
        mass[0] *= 1 - p
        for successes in range(n, math.floor(threshold * n), -1):
            if value(successes, n, threshold) < math.log(1 / ALPHA):
                break
            fooled += float(mass[successes])
            mass[successes] = 0.0
    assert 0 < fooled <= ALPHA


@pytest.mark.parametrize("claim", ["at_least", "at_most"])
@pytest.mark.parametrize("threshold", [0.05, 0.5, 0.9])
def test_the_one_sided_value_is_at_most_one_on_average(
    claim: Claim, threshold: float
) -> None:
    """Over all samples its mean is 1 at the threshold, and less the worse the truth."""
    n, means = 30, []
    for share in (1.0, 0.8, 0.4):
        p = share * threshold if claim == "at_least" else 1 - share * (1 - threshold)
        means.append(
            sum(
                math.comb(n, k)
                * p**k
                * (1 - p) ** (n - k)
                * math.exp(
                    bernoulli_log_value(
                        successes=k, n=n, threshold=threshold, claim=claim, t_opt=50
                    )
                )
                for k in range(n + 1)
            )
        )
    assert means[0] == pytest.approx(1, rel=1e-9)
    assert means[0] > means[1] > means[2]


def test_the_one_sided_value_is_the_mixture_of_likelihood_ratios() -> None:
    """It equals the integral over the proportions claimed, done numerically."""
    successes, n, threshold, t_opt = 17, 19, 0.8, 40.0
    spread = 2 * math.log(1 / 0.1)
    weight = t_opt / (spread + math.log(1 + spread)) - 1
    p = np.linspace(threshold, 1, 200_001)[1:-1]
    prior = p ** (weight * threshold - 1) * (1 - p) ** (weight * (1 - threshold) - 1)
    ratio = (p / threshold) ** successes
    ratio *= ((1 - p) / (1 - threshold)) ** (n - successes)
    found = bernoulli_log_value(
        successes=successes, n=n, threshold=threshold, claim="at_least", t_opt=t_opt
    )
    assert math.exp(found) == pytest.approx(
        np.sum(prior * ratio) / np.sum(prior), rel=1e-3
    )


@pytest.mark.parametrize(("n", "share"), [(10_000, 0.8), (5000, 0.0), (10**7, 0.947)])
def test_the_one_sided_value_falls_slowly_however_much_speaks_against_it(
    n: int, share: float
) -> None:
    """It is a mixture up to the threshold, so no data make it vanish at once."""
    threshold, t_opt = 0.95, 100.0
    successes = round(share * n)
    spread = 2 * math.log(1 / 0.1)
    weight = t_opt / (spread + math.log(1 + spread)) - 1
    # The ratio falls within a few times this distance above the threshold.
    scale = threshold * (1 - threshold) / (threshold * n - successes)
    p = threshold + scale * np.linspace(0, 60, 200_001)
    p = p[p < 1]
    log_ratio = successes * np.log(p / threshold)
    log_ratio += (n - successes) * np.log((1 - p) / (1 - threshold))
    prior = stats.beta(weight * threshold, weight * (1 - threshold))
    mixture = np.trapezoid(prior.pdf(p) * np.exp(log_ratio), p) / prior.sf(threshold)
    found = bernoulli_log_value(
        successes=successes, n=n, threshold=threshold, claim="at_least", t_opt=t_opt
    )
    assert found == pytest.approx(math.log(mixture), rel=1e-4)


@settings(max_examples=100)
@given(data=st.data(), n=st.integers(1, 300), t_opt=st.floats(0.01, 1000))
def test_a_limit_is_where_the_claim_ceases_to_be_shown(
    data: st.DataObject, n: int, t_opt: float
) -> None:
    """Every threshold on the near side of the limit is shown, and none beyond it."""
    successes = data.draw(st.integers(0, n))
    limits: list[float] = []
    for claim, sign in (("at_least", 1), ("at_most", -1)):
        limit = bernoulli_limit(
            successes=successes, n=n, alpha=ALPHA, t_opt=t_opt, claim=claim
        )
        limits.append(limit)
        for t in np.linspace(0.001, 0.999, 41):
            value = bernoulli_log_value(
                successes=successes, n=n, threshold=t, claim=claim, t_opt=t_opt
            )
            if abs(value - math.log(1 / ALPHA)) > 1e-6:
                assert (sign * t < sign * limit) == (value > math.log(1 / ALPHA))
    assert 0 <= limits[0] <= successes / n <= limits[1] <= 1


def test_claims_mirror_each_other() -> None:
    """At least 90 % in order is at most 10 % violated."""
    least = bernoulli_log_value(
        successes=47, n=50, threshold=0.9, claim="at_least", t_opt=50
    )
    most = bernoulli_log_value(
        successes=3, n=50, threshold=0.1, claim="at_most", t_opt=50
    )
    assert least == pytest.approx(most)
    limit = bernoulli_limit(successes=47, n=50, alpha=0.05, t_opt=50, claim="at_least")
    other = bernoulli_limit(successes=3, n=50, alpha=0.05, t_opt=50, claim="at_most")
    assert limit == pytest.approx(1 - other)


@pytest.mark.parametrize("alpha", [1e-12, 1e-3, 0.5, 0.99])
@pytest.mark.parametrize("t_opt", [1e-9, 1.0, 1e7])
def test_extreme_settings_give_intervals_all_the_same(
    alpha: float, t_opt: float
) -> None:
    """Without units, without successes, with all of many: limits hold the data."""
    for n, successes in ((0, 0), (1, 0), (1, 1), (10_000, 0), (10**6, 10**6 // 3)):
        lower, upper = bernoulli_interval(
            successes=successes, n=n, alpha=alpha, t_opt=t_opt
        )
        assert 0 <= lower <= successes / max(n, 1) <= upper <= 1
        low, high = (
            bernoulli_limit(
                successes=successes, n=n, alpha=alpha, t_opt=t_opt, claim=claim
            )
            for claim in ("at_least", "at_most")
        )
        assert 0 <= low <= successes / max(n, 1) <= high <= 1


def test_less_alpha_and_fewer_units_give_wider_intervals() -> None:
    """Both limits move away from the data, step by step."""
    for steps in (
        [(20, 200, alpha) for alpha in (0.2, 0.05, 0.01, 1e-6)],
        [(n // 10, n, 0.05) for n in (1000, 400, 100, 20)],
    ):
        found = [
            bernoulli_interval(successes=k, n=n, alpha=alpha, t_opt=100)
            for k, n, alpha in steps
        ]
        for (low, high), (lower, higher) in zip(found, found[1:], strict=False):
            assert lower < low < high < higher


def test_one_sided_arguments_are_checked() -> None:
    """Counts, alpha, t_opt and threshold are refused when out of range."""
    with pytest.raises(JudgementError, match="t_opt"):
        bernoulli_limit(successes=1, n=3, alpha=0.05, t_opt=0, claim="at_most")
    with pytest.raises(JudgementError, match="threshold"):
        bernoulli_log_value(successes=1, n=3, threshold=1.0, claim="at_most", t_opt=9)
