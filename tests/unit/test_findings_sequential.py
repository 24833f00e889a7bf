"""The confidence sequence: reference values, coverage under peeking, refusals."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.errors import JudgementError
from sandbox.findings.sequential import bernoulli_interval, bernoulli_log_mixture

ALPHA = 0.05


def test_one_failure_in_fifty_reaches_the_published_limit() -> None:
    """1 violation in 50 gives an anytime upper limit of 13.5 % when tuned there."""
    lower, upper = bernoulli_interval(successes=1, n=50, alpha=0.05, t_opt=50)
    assert lower == 0.0
    assert upper == pytest.approx(0.1349, abs=5e-5)


def _ever_missed(p: float, units: int, t_opt: float) -> float:
    """Exact chance that the interval misses `p` at some unit, looking after each.

    The law of the number of successes is carried from unit to unit; mass that has left
    the interval once is gone.
    """
    mass = np.zeros(units + 2)
    mass[0], missed = 1.0, 0.0
    limit = math.log(1 / ALPHA)
    for n in range(1, units + 1):
        mass[1:] = mass[1:] * (1 - p) + mass[:-1] * p
        mass[0] *= 1 - p
        for successes in np.flatnonzero(mass[: n + 1] > 1e-15):
            value = bernoulli_log_mixture(
                successes=int(successes), n=n, p=p, t_opt=t_opt
            )
            if value >= limit:
                missed += float(mass[successes])
                mass[successes] = 0.0
    return missed


@pytest.mark.parametrize("p", [0.02, 0.1, 0.5, 0.9, 0.95])
def test_coverage_holds_when_looking_after_each_of_500_units(p: float) -> None:
    """The chance ever to miss the truth stays within alpha, by exact recursion."""
    missed = _ever_missed(p, 500, t_opt=200)
    assert 0 < missed <= ALPHA


def test_an_ordinary_test_would_not_keep_its_promise_under_peeking() -> None:
    """Why this is needed: a fixed 5 % test, looked at after each unit, errs far more.

    Violation rate 10 % against a limit of 10 %: declared safe by 500 units in 22.7 %.
    """
    units, p, declared = 500, 0.1, 0.0
    mass = np.zeros(units + 2)
    mass[0] = 1.0
    for n in range(1, units + 1):
        mass[1:] = mass[1:] * (1 - p) + mass[:-1] * p
        mass[0] *= 1 - p
        tail = 0.0
        for failures in range(n + 1):
            tail += math.comb(n, failures) * p**failures * (1 - p) ** (n - failures)
            if tail > 0.05:
                break
            declared += float(mass[failures])
            mass[failures] = 0.0
    assert declared == pytest.approx(0.227, abs=0.0005)


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


def test_a_threshold_is_rarely_passed_even_when_the_rate_moves() -> None:
    """The verdict speaks of the average chance, so a moving rate does not fool it.

    The chance per unit swings, and is so arranged that its average up to any unit never
    exceeds the threshold. Exact recursion: the share of trials in which the interval
    ever lies wholly above the threshold stays within alpha.
    """
    threshold, units = 0.9, 300
    chances = [0.85, 0.95] * (units // 2)
    assert all(sum(chances[:n]) / n <= threshold + 1e-12 for n in range(1, units + 1))
    mass = np.zeros(units + 2)
    mass[0], fooled = 1.0, 0.0
    for n, p in enumerate(chances, start=1):
        mass[1:] = mass[1:] * (1 - p) + mass[:-1] * p
        mass[0] *= 1 - p
        for successes in np.flatnonzero(mass[: n + 1] > 1e-15):
            if successes / n <= threshold:
                continue
            value = bernoulli_log_mixture(
                successes=int(successes), n=n, p=threshold, t_opt=200
            )
            if value >= math.log(1 / ALPHA):
                fooled += float(mass[successes])
                mass[successes] = 0.0
    assert fooled <= ALPHA
