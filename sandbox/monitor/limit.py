"""What a guardrail's limit means: when one looks, at what it signals, how soon.

Rules of this module:

* `maxsprt` looks after every unit, `grouped-maxsprt` after each full group of units and
  never in between: a group that is not full, at the end too, is not tested.
* Only evaluable units fill a group; the statistic knows no others.
* The threshold of a grouped limit is the least, to 1e-9, whose exact chance of a signal
  over Bernoulli units at the baseline rate, at just these looks, is at most `alpha`.
  After Kulldorff et al. (2011), see `sandbox.monitor.maxsprt`; none is tabulated.
* How often and how soon a guardrail signals is exact too, at any true rate.
"""

from __future__ import annotations

from functools import lru_cache

from sandbox.errors import JudgementError
from sandbox.model.rule import HarmLimit
from sandbox.monitor.crossing import PRECISION, least_threshold
from sandbox.monitor.maxsprt import (
    UnitWatch,
    unit_signal_chance,
    unit_threshold,
    units_within,
)


def group_of(limit: HarmLimit) -> int:
    """Return after how many units one looks each time; 1 where after every unit.

    Raises:
        JudgementError: Its design looks in groups, and it does not say of how many.
    """
    if limit.design == "maxsprt":
        return 1
    if limit.looks_every is None:
        raise JudgementError(
            f"The design {limit.design} looks in groups, and `looks_every` does not say"
            " of how many units. Add it to the signal of the harm."
        )
    return limit.looks_every


def horizon_units(limit: HarmLimit) -> int:
    """Return up to which unit the error chance `alpha` is promised."""
    return units_within(limit.horizon, baseline_rate=limit.baseline_rate)


def limit_threshold(limit: HarmLimit) -> float:
    """Return the log-likelihood ratio at which a guardrail signals.

    Raises:
        JudgementError: No threshold meets its limits: no group is ever full, so many
            events are asked for that a signal is rarer than `alpha` whatever the
            threshold, or none is so high that a signal is as rare as that.
    """
    if limit.design == "maxsprt":
        return unit_threshold(
            baseline_rate=limit.baseline_rate,
            horizon=limit.horizon,
            alpha=limit.alpha,
            min_events=limit.min_events,
        )
    return _group_threshold(_watch(limit, horizon_units(limit)), limit.alpha)


def signal_chance(limit: HarmLimit, *, rate: float, units: int) -> float:
    """Return the exact chance that a guardrail signals.

    Args:
        limit: Of the guardrail.
        rate: The true chance of the harmful event per unit; the baseline rate for the
            chance of a false signal.
        units: Units that are seen, within the horizon or past it.

    Raises:
        JudgementError: As `limit_threshold`.
    """
    threshold = limit_threshold(limit)
    return unit_signal_chance(_watch(limit, units), threshold=threshold, rate=rate)


def median_units(limit: HarmLimit, *, rate: float, units: int) -> int | None:
    """Return by which unit at least half of all watches have signalled.

    Args:
        limit: Of the guardrail.
        rate: The true chance of the harmful event per unit.
        units: Units that are seen, within the horizon or past it.

    Returns:
        A unit after which one looks; None where fewer than half signal at all.

    Raises:
        JudgementError: As `limit_threshold`.
    """
    group = group_of(limit)
    low, high = 0, units // group
    if signal_chance(limit, rate=rate, units=high * group) < 0.5:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        early = signal_chance(limit, rate=rate, units=middle * group) >= 0.5
        low, high = (low, middle) if early else (middle, high)
    return high * group


def _watch(limit: HarmLimit, units: int) -> UnitWatch:
    return UnitWatch(limit.baseline_rate, units, limit.min_events, group_of(limit))


@lru_cache(maxsize=256)
def _group_threshold(watch: UnitWatch, alpha: float) -> float:
    def chance(threshold: float) -> float:
        return unit_signal_chance(watch, threshold=threshold, rate=watch.baseline_rate)

    if watch.looks_every > watch.units:
        raise JudgementError(
            f"A group of {watch.looks_every} units is never full: the horizon ends"
            f" after {watch.units}. Make the groups smaller or lengthen the horizon."
        )
    if chance(PRECISION) <= alpha:
        raise JudgementError(
            f"A watch over {watch.units} units, looked at after every"
            f" {watch.looks_every}, signals on {watch.min_events} or more events with a"
            f" chance below alpha = {alpha:g} whatever the threshold. Lower min_events"
            " or alpha, or lengthen the horizon."
        )
    found = least_threshold(chance, PRECISION, alpha)
    if chance(found) == 0:
        raise JudgementError(
            f"A watch over {watch.units} units, looked at after every"
            f" {watch.looks_every}, can never signal: even the strongest result has a"
            f" chance above alpha = {alpha:g}. Lengthen the horizon."
        )
    return found
