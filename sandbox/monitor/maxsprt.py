"""Exact sequential watch over a harmful event: the Poisson MaxSPRT.

Rules of this module:

* Everything is computed by recursion over the number of events; nothing is simulated,
  tabulated or approximated by a normal law.
* The statistic is the log-likelihood ratio of Kulldorff et al., "A Maximized Sequential
  Probability Ratio Test for Drug and Vaccine Safety Surveillance", Sequential Analysis
  30 (2011), eq. (4): it may be looked at after every event, and the chance that it ever
  reaches the threshold before the horizon is `alpha` when the harm is at its baseline.
* Units of a trial are counted one by one, so the events are Bernoulli, not Poisson.
  `unit_threshold` therefore raises the published critical value where the exact chance
  of a false signal over units would exceed `alpha`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import optimize, special

from sandbox.errors import JudgementError
from sandbox.monitor.crossing import (
    Boundaries,
    Law,
    binomial_law,
    least_threshold,
    poisson_law,
    stopping,
    unstopped,
)


class UnitWatch(NamedTuple):
    """Units of a trial that are watched for an event, and when one looks at them."""

    baseline_rate: float
    """Chance of the event per unit that counts as normal, in (0, 1)."""
    units: int
    """Units the watch lasts at most."""
    min_events: int = 1
    """Events before which no signal is given."""
    looks_every: int = 1
    """Units in a group: one looks after each full group, and never in between."""


def poisson_maxsprt_llr(*, events: int, expected: float) -> float:
    """Return the maximised log-likelihood ratio of a raised event rate.

    Args:
        events: Events seen, at least 0.
        expected: Events expected at the baseline rate, at least 0.

    Returns:
        0 where no more events were seen than expected; infinite where events were seen
        and none could be expected.

    Raises:
        JudgementError: An argument is negative or not finite.
    """
    if events < 0 or not (0 <= expected < math.inf):
        raise JudgementError(
            "A log-likelihood ratio needs events and expected events of at least 0,"
            f" not {events} and {expected}. Give counts of the same units."
        )
    if events <= expected:
        return 0.0
    if expected == 0:
        return math.inf
    return expected - events + events * math.log(events / expected)


@lru_cache(maxsize=256)
def poisson_maxsprt_threshold(
    *, horizon: float, alpha: float, min_events: int = 1
) -> float:
    """Return the critical value of the continuous Poisson MaxSPRT.

    Args:
        horizon: Length of the watch in events expected at the baseline rate.
        alpha: Chance of a false signal over the whole watch, in (0, 0.5].
        min_events: Events before which no signal is given.

    Returns:
        The log-likelihood ratio at which to signal.

    Raises:
        JudgementError: An argument is out of range, or so many events are asked for
            that a signal is rarer than `alpha` whatever the threshold.
    """
    _check_design(horizon, alpha, min_events)

    def excess(threshold: float) -> float:
        chance = poisson_signal_chance(
            threshold=threshold, horizon=horizon, min_events=min_events
        )
        return chance - alpha

    if excess(1e-9) <= 0:
        raise JudgementError(
            f"A watch over {horizon:g} expected events can hardly see {min_events}: the"
            f" chance stays below alpha = {alpha:g} whatever the threshold. Lower"
            " min_events or lengthen the horizon."
        )
    enough = math.log(1 / alpha)
    while excess(enough) > 0:
        enough += 1
    return float(optimize.brentq(excess, 1e-9, enough, xtol=1e-11, rtol=1e-14))


@lru_cache(maxsize=256)
def unit_threshold(
    *, baseline_rate: float, horizon: float, alpha: float, min_events: int = 1
) -> float:
    """Return the threshold for looking after every unit at a known baseline rate.

    Args:
        baseline_rate: Chance of the event per unit that counts as normal, in (0, 1).
        horizon: Length of the watch in expected events.
        alpha: Chance of a false signal over the whole watch.
        min_events: Events before which no signal is given.

    Returns:
        The critical value of `poisson_maxsprt_threshold`, raised as little as needed
        for the exact chance over Bernoulli units not to exceed `alpha`.

    Raises:
        JudgementError: As `poisson_maxsprt_threshold`.
    """
    start = poisson_maxsprt_threshold(
        horizon=horizon, alpha=alpha, min_events=min_events
    )

    def chance(threshold: float) -> float:
        return false_signal_chance(
            threshold=threshold,
            baseline_rate=baseline_rate,
            horizon=horizon,
            min_events=min_events,
        )

    return start if chance(start) <= alpha else least_threshold(chance, start, alpha)


def false_signal_chance(
    *, threshold: float, baseline_rate: float, horizon: float, min_events: int = 1
) -> float:
    """Return the exact chance of a signal when units fail at exactly the baseline rate.

    Args:
        threshold: Log-likelihood ratio at which a signal is given.
        baseline_rate: Chance of the event per unit.
        horizon: Length of the watch in expected events.
        min_events: Events before which no signal is given.

    Returns:
        The probability, over all units up to the horizon, looking after each.
    """
    watch = UnitWatch(
        baseline_rate, units_within(horizon, baseline_rate=baseline_rate), min_events
    )
    return unit_signal_chance(watch, threshold=threshold, rate=baseline_rate)


def units_within(horizon: float, *, baseline_rate: float) -> int:
    """Return how many units a watch lasts, of a horizon in expected events."""
    return math.floor(horizon / baseline_rate + 1e-9)


def unit_signal_chance(watch: UnitWatch, *, threshold: float, rate: float) -> float:
    """Return the exact chance that a watch over units signals.

    Args:
        watch: Which units, and when one looks.
        threshold: Log-likelihood ratio at which a signal is given.
        rate: The true chance of the event per unit.

    Returns:
        The probability over all looks of the watch; 0 where no group is ever full.
    """
    group = watch.looks_every
    last_look = watch.units - watch.units % group

    def last(events: int) -> int:
        unit = _last_signalling_unit(events, threshold, watch.baseline_rate, last_look)
        # At looks before, so many events signal too: between looks nothing does.
        return unit - unit % group

    bounds = _bounds(last, last_look, watch.min_events)
    return _signal_chance(bounds, watch.min_events, binomial_law(rate))


def _check_design(horizon: float, alpha: float, min_events: int) -> None:
    problems = []
    if not 0 < horizon < math.inf:
        problems.append(f"horizon must be a positive number of events, not {horizon}")
    if not 0 < alpha <= 0.5:
        problems.append(f"alpha must lie in (0, 0.5], not {alpha}")
    if min_events < 1:
        problems.append(f"min_events must be at least 1, not {min_events}")
    if problems:
        raise JudgementError(
            "This watch cannot be designed: " + "; ".join(problems) + "."
        )


def poisson_signal_chance(
    *, threshold: float, horizon: float, min_events: int = 1, relative_rate: float = 1.0
) -> float:
    """Return the exact chance that the continuous Poisson MaxSPRT signals.

    Args:
        threshold: Log-likelihood ratio at which a signal is given.
        horizon: Length of the watch in events expected at the baseline rate.
        min_events: Events before which no signal is given.
        relative_rate: The true rate as a multiple of the baseline rate.

    Returns:
        At 1 the chance of a false signal, above 1 the power.
    """

    def last_time(events: int) -> float:
        return min(_last_signalling_time(events, threshold), horizon)

    bounds = _bounds(last_time, horizon, min_events)
    return _signal_chance(bounds, min_events, poisson_law(relative_rate))


def _last_signalling_time(events: int, threshold: float) -> float:
    """Expected events up to which `events` give a signal: llr = threshold, solved."""
    inner = -math.exp(-1 - threshold / events)
    return float(-events * special.lambertw(inner, 0).real)


def _last_signalling_unit(
    events: int, threshold: float, baseline_rate: float, units: int
) -> int:
    """Last unit at which `events` give a signal, by the very statistic used live."""
    guess = int(_last_signalling_time(events, threshold) / baseline_rate) + 1
    while guess > 0:
        llr = poisson_maxsprt_llr(events=events, expected=baseline_rate * guess)
        if llr >= threshold:
            break
        guess -= 1
    return min(guess, units)


def _bounds(
    last: Callable[[int], float], horizon: float, min_events: int
) -> list[float]:
    """Last signalling times of min_events, min_events + 1, … up to the horizon."""
    bounds: list[float] = []
    while not bounds or bounds[-1] < horizon:
        bounds.append(last(min_events + len(bounds)))
    return bounds


def _signal_chance(bounds: Sequence[float], min_events: int, law: Law) -> float:
    """Chance that the k-th event comes no later than the k-th bound, for some k.

    So it does exactly if at some bound k at least k events have come.
    """
    events = np.arange(min_events, min_events + len(bounds))
    looks = Boundaries(np.asarray(bounds, dtype=float), unstopped(len(bounds)), events)
    return float(stopping(looks, law).high.sum())
