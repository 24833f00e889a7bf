"""The mean of values between 0 and 1, judged by betting on them in a fixed order.

Rules of this module:

* Against a mean `m` one bets on each value, before it is seen, that it will be larger
  (or smaller) than `m`. If `m` is the mean, no bet wins on average; capital that has
  grown to 1 / alpha is evidence against `m` (Ville). The bets are those of
  Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting",
  Journal of the Royal Statistical Society B 86 (2024), section 4: hedged capital with
  predictable plug-in bets.
* The stake learns from the values before it, so the result depends on their order: the
  plan fixes it. Values are independent given the past, with one mean.
* A mean that was once refuted stays refuted. If all are, the result is invalid.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from sandbox.errors import JudgementError
from sandbox.findings.sequential.proportion import Claim
from sandbox.findings.sequential.running import RunningInterval, running_interval
from sandbox.monitor.crossing import Floats

_LARGEST_STAKE = 0.5
"""Share of the capital that one bet can lose at most; any value below 1 is valid."""
_HALVINGS = 45
"""Limits are found to 2 to the power of minus 45."""


def betting_interval(*, values: Sequence[float], alpha: float) -> RunningInterval:
    """Return the means between 0 and 1 that betting has not refuted at any unit.

    Args:
        values: Between 0 and 1, in the order that the plan fixes.
        alpha: Chance that the true mean is ever refuted.

    Raises:
        JudgementError: A value or alpha is out of range.
    """
    found = _checked(values, alpha)
    stakes, enough = _stakes(found, alpha), math.log(2 / alpha)

    def refuted(x: Floats) -> Callable[[float], bool]:
        return lambda mean: _best(_growth(x, mean, stakes)) >= enough

    lower = _last(refuted(found))
    # Larger than the mean is what the mirrored values are smaller than.
    return running_interval(lower, 1 - _last(refuted(1 - found)))


def betting_log_value(
    *, values: Sequence[float], threshold: float, claim: Claim, alpha: float
) -> float:
    """Return the log e-value for the claim that a mean is on one side of a threshold.

    Args:
        values: Between 0 and 1, in the order that the plan fixes.
        threshold: The mean claimed to be reached or kept to, in [0, 1].
        claim: `at_least` the threshold, or `at_most`.
        alpha: Error chance for which the stakes are meant; the value is valid for all.

    Returns:
        Log of the capital now: 0 without values. Those of trials add up.

    Raises:
        JudgementError: An argument is out of range.
    """
    found = _checked(values, alpha)
    if not 0 <= threshold <= 1:
        raise JudgementError(f"The threshold must lie in [0, 1], not {threshold}.")
    stakes = _stakes(found, alpha)
    if claim == "at_most":
        found, threshold = 1 - found, 1 - threshold
    return float(np.sum(_growth(found, threshold, stakes)))


def _stakes(values: Floats, alpha: float) -> Floats:
    """Predictable plug-in stakes: each from the values before it."""
    number = np.arange(1, len(values) + 1)
    mean = (0.5 + np.cumsum(values)) / (number + 1)
    variance = (0.25 + np.cumsum((values - mean) ** 2)) / (number + 1)
    before = np.concatenate(([0.25], variance[:-1]))
    stakes = 2 * math.log(2 / alpha) / (before * number * np.log1p(number))
    return np.asarray(np.sqrt(stakes))


def _growth(values: Floats, mean: float, stakes: Floats) -> Floats:
    """Log growth of the capital by each bet that the value is larger than `mean`."""
    most = _LARGEST_STAKE / mean if mean > 0 else math.inf
    return np.asarray(np.log1p(np.minimum(stakes, most) * (values - mean)))


def _best(growth: Floats) -> float:
    return float(np.max(np.cumsum(growth), initial=0.0))


def _last(refuted: Callable[[float], bool]) -> float:
    """Where the refuted means end, from 0 upwards; refuting falls with the mean."""
    low, high = 0.0, 1.0
    if not refuted(low):
        return low
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if refuted(middle) else (low, middle)
    return low


def _checked(values: Sequence[float], alpha: float) -> Floats:
    found = np.asarray(values, dtype=float)
    problems = []
    if not np.all((found >= 0) & (found <= 1)):
        problems.append("values must lie in [0, 1]; scale them by the plan's bounds")
    if not 0 < alpha < 1:
        problems.append(f"alpha must lie in (0, 1), not {alpha}")
    if problems:
        raise JudgementError("No bet: " + "; ".join(problems) + ".")
    return found
