"""The exact sequential test: published values, the error guarantee, refusals."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.errors import JudgementError
from sandbox.monitor import (
    false_signal_chance,
    poisson_maxsprt_llr,
    poisson_maxsprt_threshold,
    unit_threshold,
)
from sandbox.monitor.maxsprt import poisson_signal_chance

# Kulldorff et al., Sequential Analysis 30 (2011), Table 1 (one event suffices), and
# Kulldorff and Silva, REVSTAT 15 (2017), Table 1 (more events asked for); alpha = 0.05.
PUBLISHED = {
    (1, 1): 2.853937,
    (1, 2): 2.366638,
    (1, 3): 1.774218,
    (1.5, 1): 2.964971,
    (2, 1): 3.046977,
    (2, 2): 2.689354,
    (5, 1): 3.297183,
    (10, 1): 3.467952,
    (20, 4): 3.176370,
    (50, 1): 3.819903,
    (100, 1): 3.952321,
}


@pytest.mark.parametrize(("design", "value"), PUBLISHED.items())
def test_thresholds_are_those_published(
    design: tuple[float, int], value: float
) -> None:
    """Computed critical values equal the published ones to six decimals."""
    horizon, min_events = design
    computed = poisson_maxsprt_threshold(
        horizon=horizon, alpha=0.05, min_events=min_events
    )
    assert computed == pytest.approx(value, abs=6e-7)


def test_simulated_poisson_process_signals_as_often_as_alpha() -> None:
    """Looked at after every event, a process at its baseline signals with chance 5
    %.
    """
    rng = np.random.default_rng(20110401)
    horizon, runs = 5.0, 20_000
    threshold = poisson_maxsprt_threshold(horizon=horizon, alpha=0.05)
    arrivals = np.cumsum(rng.exponential(size=(runs, 30)), axis=1)
    events = np.arange(1, 31)
    llr = arrivals - events + events * np.log(events / arrivals)
    signals = (llr >= threshold) & (arrivals <= horizon) & (events > arrivals)
    share = float(signals.any(axis=1).mean())
    assert share == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / runs))


def _chance_unit_by_unit(
    threshold: float, rate: float, horizon: float, min_events: int
) -> float:
    """An obvious reference: the law of the count, carried from unit to unit."""
    units = round(horizon / rate)
    mass = np.zeros(units + 2)
    mass[0] = 1.0
    signalled = 0.0
    for unit in range(1, units + 1):
        mass[1:] = mass[1:] * (1 - rate) + mass[:-1] * rate
        mass[0] *= 1 - rate
        for events in range(min_events, unit + 1):
            if poisson_maxsprt_llr(events=events, expected=rate * unit) >= threshold:
                signalled += float(mass[events])
                mass[events] = 0.0
    return signalled


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("min_events", [1, 3])
def test_chance_over_units_agrees_with_an_obvious_recursion(
    rate: float, min_events: int
) -> None:
    """The jump from bound to bound gives what one unit at a time gives."""
    threshold = poisson_maxsprt_threshold(horizon=3, alpha=0.05, min_events=min_events)
    fast = false_signal_chance(
        threshold=threshold, baseline_rate=rate, horizon=3, min_events=min_events
    )
    slow = _chance_unit_by_unit(threshold, rate, 3, min_events)
    assert fast == pytest.approx(slow, rel=1e-9)


@pytest.mark.parametrize("rate", [0.001, 0.005, 0.02, 0.1, 0.2, 0.3, 0.5])
@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2, 0.5])
@pytest.mark.parametrize("horizon", [0.3, 1.0, 5.0, 20.0])
def test_false_signals_over_units_stay_within_alpha(
    rate: float, alpha: float, horizon: float
) -> None:
    """Looking after every unit at the boundary of the null keeps alpha, exactly."""
    try:
        threshold = unit_threshold(baseline_rate=rate, horizon=horizon, alpha=alpha)
    except JudgementError:
        assert 1 - math.exp(-horizon) <= alpha
        return
    chance = false_signal_chance(
        threshold=threshold, baseline_rate=rate, horizon=horizon
    )
    assert chance <= alpha


def test_the_published_threshold_alone_would_not_keep_alpha_over_units() -> None:
    """At a rate of 20 % the Poisson value signals too often, and is raised."""
    given_ = {"horizon": 1.0, "alpha": 0.5}
    published = poisson_maxsprt_threshold(**given_)
    assert (
        false_signal_chance(threshold=published, baseline_rate=0.2, horizon=1.0) > 0.5
    )
    assert unit_threshold(baseline_rate=0.2, **given_) > published


def test_ratio_is_zero_without_excess_and_infinite_without_expectation() -> None:
    """As many events as expected say nothing; an impossible event says all."""
    assert poisson_maxsprt_llr(events=0, expected=0) == 0
    assert poisson_maxsprt_llr(events=3, expected=3.0) == 0
    assert poisson_maxsprt_llr(events=3, expected=7.5) == 0
    assert poisson_maxsprt_llr(events=1, expected=0) == math.inf
    assert poisson_maxsprt_llr(events=2, expected=1.0) == pytest.approx(
        2 * math.log(2) - 1
    )


@settings(deadline=None, max_examples=15)
@given(
    horizon=st.floats(0.5, 20),
    alpha=st.floats(0.005, 0.3),
    min_events=st.integers(1, 4),
)
def test_threshold_falls_with_alpha(
    horizon: float, alpha: float, min_events: int
) -> None:
    """Who tolerates more false signals is warned earlier."""
    try:
        loose = poisson_maxsprt_threshold(
            horizon=horizon, alpha=alpha, min_events=min_events
        )
        strict = poisson_maxsprt_threshold(
            horizon=horizon, alpha=alpha / 2, min_events=min_events
        )
    except JudgementError as error:
        assert "Lower min_events or lengthen" in error.diagnosis
        return
    assert strict > loose > 0


def test_a_design_that_can_never_signal_is_refused_with_the_reason() -> None:
    """Ten events within one expected event have less chance than alpha."""
    with pytest.raises(JudgementError, match="can hardly see 10"):
        poisson_maxsprt_threshold(horizon=1, alpha=0.05, min_events=10)


def test_every_bad_argument_of_a_design_is_named() -> None:
    """Horizon, alpha and min_events are complained of at once."""
    with pytest.raises(JudgementError) as caught:
        poisson_maxsprt_threshold(horizon=-1, alpha=0.9, min_events=0)
    for name in ("horizon", "alpha", "min_events"):
        assert name in caught.value.diagnosis
    with pytest.raises(JudgementError):
        poisson_maxsprt_llr(events=-1, expected=1)


@pytest.mark.parametrize("alpha", [1e-9, 0.01, 0.2])
def test_longer_watches_and_fewer_events_ask_for_more(alpha: float) -> None:
    """The threshold rises with the horizon and falls with the events asked for."""
    longer = [
        poisson_maxsprt_threshold(horizon=horizon, alpha=alpha)
        for horizon in (0.3, 1, 7, 60)
    ]
    assert longer == sorted(longer) and longer[0] < longer[-1]
    later = [
        poisson_maxsprt_threshold(horizon=60, alpha=alpha, min_events=events)
        for events in (1, 2, 5, 20, 60)
    ]
    assert later == sorted(later, reverse=True) and later[0] > later[-1]


def test_a_signal_rarer_than_a_billionth_keeps_its_alpha() -> None:
    """The chance at the threshold is the alpha asked for, to seven digits."""
    for alpha in (1e-12, 1e-9, 1e-4):
        threshold = poisson_maxsprt_threshold(horizon=20, alpha=alpha)
        chance = poisson_signal_chance(threshold=threshold, horizon=20)
        assert chance == pytest.approx(alpha, rel=1e-7)
