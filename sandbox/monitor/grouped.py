"""Exact sequential tests of a raised rate, looked at when one chooses beforehand.

Rules of this module:

* Looks are fixed before the data are seen: after every event, or in groups. Between
  two looks nothing is tested, and nothing is spent.
* Counts are discrete, so most error chances cannot be met exactly. A threshold is the
  least, to 1e-9, whose exact chance of a false signal is at most `alpha`.
* Two statistics of Kulldorff et al., "A Maximized Sequential Probability Ratio Test for
  Drug and Vaccine Safety Surveillance", Sequential Analysis 30 (2011): Poisson events
  against the number expected (eq. 4), and cases among cases and controls where each
  case has so many controls under the null hypothesis (the binomial MaxSPRT; also a
  trial of two arms: `ratio` is units of the control arm for each of the other).
* Everything is computed by the recursion of `sandbox.monitor.crossing`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray
from scipy import special

from sandbox.errors import JudgementError
from sandbox.monitor.crossing import (
    PRECISION,
    Boundaries,
    Floats,
    Ints,
    Stopping,
    binomial_law,
    least_counts,
    least_threshold,
    poisson_law,
    stopping,
    unstopped,
)

_Statistic = Callable[[Ints, Floats], Floats]


def binomial_maxsprt_llr(*, cases: int, events: int, ratio: float) -> float:
    """Return the maximised log-likelihood ratio of more cases than controls explain.

    Args:
        cases: Events in the group that is watched, at least 0.
        events: Events in both groups, cases and controls.
        ratio: Controls for each case under the null hypothesis: a case has the chance
            1 / (1 + ratio).

    Returns:
        0 where the cases are no more than their share.

    Raises:
        JudgementError: There are more cases than events, or the ratio is not positive.
    """
    if not 0 <= cases <= events or not 0 < ratio < math.inf:
        raise JudgementError(
            f"{cases} cases cannot be compared among {events} events with {ratio} "
            "controls for each: give cases of at least 0, no more than the events, and "
            "a positive ratio."
        )
    return float(_binomial_llr(ratio, np.asarray([cases]), np.asarray([events]))[0])


def binomial_maxsprt_threshold(
    *, looks: Sequence[int], alpha: float, ratio: float, min_cases: int = 1
) -> float:
    """Return the critical value of the binomial MaxSPRT.

    Args:
        looks: Numbers of events, cases and controls together, at which one looks, in
            rising order: `range(1, n + 1)` to look after every event up to n.
        alpha: Chance of a false signal over the whole watch, in (0, 0.5].
        ratio: Controls for each case under the null hypothesis.
        min_cases: Cases before which no signal is given.

    Returns:
        The log-likelihood ratio at which to signal.

    Raises:
        JudgementError: An argument is out of range, or no threshold lets the watch
            signal with a chance of at most `alpha`.
    """
    _check(looks, alpha, min_cases, ratio)
    return _threshold(tuple(looks), alpha, min_cases, ratio)


def poisson_maxsprt_group_threshold(
    *, looks: Sequence[float], alpha: float, min_events: int = 1
) -> float:
    """Return the critical value of the Poisson MaxSPRT looked at in groups.

    Args:
        looks: Expected events so far, at the baseline rate, at which one looks, in
            rising order.
        alpha: Chance of a false signal over the whole watch, in (0, 0.5].
        min_events: Events before which no signal is given.

    Returns:
        The log-likelihood ratio at which to signal.

    Raises:
        JudgementError: As `binomial_maxsprt_threshold`.
    """
    _check(looks, alpha, min_events, None)
    return _threshold(tuple(looks), alpha, min_events, None)


def binomial_maxsprt_boundaries(
    *, looks: Sequence[int], threshold: float, ratio: float, min_cases: int = 1
) -> Boundaries:
    """Return the numbers of cases that signal at each look.

    Args:
        looks: As in `binomial_maxsprt_threshold`.
        threshold: Log-likelihood ratio at which to signal.
        ratio: Controls for each case under the null hypothesis.
        min_cases: Cases before which no signal is given.
    """
    sizes = np.asarray(looks, dtype=float)
    statistic = partial(_binomial_llr, ratio)
    return _boundaries(statistic, sizes, sizes, threshold, min_cases)


def unit_boundaries(
    *, threshold: float, baseline_rate: float, units: int, min_events: int = 1
) -> Boundaries:
    """Return the numbers of events that signal after each unit of a trial.

    Args:
        threshold: From `maxsprt.unit_threshold`.
        baseline_rate: Chance of the event per unit that counts as normal.
        units: Units the watch lasts at most.
        min_events: Events before which no signal is given.
    """
    sizes = np.arange(1.0, units + 1)

    def statistic(events: Ints, at: Floats) -> Floats:
        return _poisson_llr(events, baseline_rate * at)

    return _boundaries(statistic, sizes, sizes, threshold, min_events)


def signal_stopping(
    *,
    threshold: float,
    baseline_rate: float,
    units: int,
    rate: float,
    min_events: int = 1,
) -> Stopping:
    """Return how often, and when, a guardrail signals at a true rate of harm.

    Args:
        threshold: From `maxsprt.unit_threshold`.
        baseline_rate: Chance of the event per unit that counts as normal.
        units: Units the watch lasts at most.
        rate: The true chance of the event per unit.
        min_events: Events before which no signal is given.

    Returns:
        For each unit the exact chance of the signal (`high`); `mean()` and `quantile()`
        of the units until it.
    """
    found = unit_boundaries(
        threshold=threshold,
        baseline_rate=baseline_rate,
        units=units,
        min_events=min_events,
    )
    return stopping(found, binomial_law(rate))


def poisson_maxsprt_boundaries(
    *, looks: Sequence[float], threshold: float, min_events: int = 1
) -> Boundaries:
    """Return the numbers of events that signal at each look.

    Args:
        looks: Expected events so far at which one looks, in rising order.
        threshold: Log-likelihood ratio at which to signal.
        min_events: Events before which no signal is given.
    """
    sizes = np.asarray(looks, dtype=float)
    most = np.ceil(sizes + 14 * np.sqrt(sizes) + 60 + 2 * threshold)
    return _boundaries(_poisson_llr, sizes, most, threshold, min_events)


def _boundaries(
    statistic: _Statistic,
    sizes: Floats,
    most: Floats,
    threshold: float,
    min_events: int,
) -> Boundaries:
    def reached(counts: Ints, sizes: Floats) -> NDArray[np.bool_]:
        enough: NDArray[np.bool_] = statistic(counts, sizes) >= threshold
        return enough & (counts >= min_events)

    high = least_counts(reached, sizes, most.astype(np.int64))
    return Boundaries(sizes, unstopped(len(sizes)), high)


@lru_cache(maxsize=256)
def _threshold(
    looks: tuple[float, ...], alpha: float, min_events: int, ratio: float | None
) -> float:
    law = poisson_law() if ratio is None else binomial_law(1 / (1 + ratio))
    known: dict[bytes, float] = {}

    def chance(threshold: float) -> float:
        found = _watch(looks, threshold, min_events, ratio)
        # Close thresholds mostly have the same boundaries.
        key = found.high.tobytes()
        if key not in known:
            known[key] = float(stopping(found, law).high.sum())
        return known[key]

    if chance(PRECISION) <= alpha:
        raise JudgementError(
            f"A watch of {len(looks)} looks up to {looks[-1]:g} can hardly see"
            f" {min_events}: the chance stays below alpha = {alpha:g} whatever the"
            " threshold. Ask for fewer events or lengthen the watch."
        )
    found = least_threshold(chance, PRECISION, alpha)
    if chance(found) == 0:
        raise JudgementError(
            f"A watch of {len(looks)} looks up to {looks[-1]:g} can never signal: even"
            f" the strongest result has a chance above alpha = {alpha:g}. Lengthen the"
            " watch."
        )
    return found


def _watch(
    looks: tuple[float, ...], threshold: float, min_events: int, ratio: float | None
) -> Boundaries:
    if ratio is None:
        return poisson_maxsprt_boundaries(
            looks=looks, threshold=threshold, min_events=min_events
        )
    return binomial_maxsprt_boundaries(
        looks=[round(look) for look in looks],
        threshold=threshold,
        ratio=ratio,
        min_cases=min_events,
    )


def _poisson_llr(events: Ints, expected: Floats) -> Floats:
    excess = special.xlogy(events, events / expected) - (events - expected)
    return np.where(events > expected, excess, 0.0)


def _binomial_llr(ratio: float, cases: Ints, events: Floats) -> Floats:
    share, controls = 1 / (1 + ratio), events - cases
    whole = np.maximum(events, 1)
    fit = special.xlogy(cases, cases / whole) + special.xlogy(
        controls, controls / whole
    )
    excess = fit - cases * math.log(share) - controls * math.log1p(-share)
    return np.where(cases > share * events, excess, 0.0)


def _check(
    looks: Sequence[float], alpha: float, min_events: int, ratio: float | None
) -> None:
    problems = []
    steps = np.diff(np.asarray(looks, dtype=float), prepend=0.0)
    if not len(looks) or not np.all((steps > 0) & (steps < math.inf)):
        problems.append("looks must be positive and rise, and there must be one")
    elif ratio is not None and any(look != round(look) for look in looks):
        problems.append("looks at cases and controls are whole numbers of events")
    if not 0 < alpha <= 0.5:
        problems.append(f"alpha must lie in (0, 0.5], not {alpha}")
    if min_events < 1:
        problems.append(f"a signal needs at least 1 event, not {min_events}")
    if ratio is not None and not 0 < ratio < math.inf:
        problems.append(f"ratio must be a positive number of controls, not {ratio}")
    if problems:
        raise JudgementError(
            "This watch cannot be designed: " + "; ".join(problems) + "."
        )
