"""The mean of values between 0 and 1, judged after any unit by their sum alone.

Rules of this module:

* Values of a bounded quantity are first `scaled` to [0, 1] by bounds that the plan
  fixes; a value outside them is refused, since the guarantee rests on them.
* A value in [0, 1] is sub-Gaussian with variance factor 1/4 (Hoeffding), whatever its
  law. The boundary is the normal mixture of Howard, Ramdas, McAuliffe and Sekhon,
  "Time-uniform, nonparametric, nonasymptotic confidence sequences", Annals of
  Statistics 49 (2021), two-sided and one-sided.
* Only the sum counts, so the order of the units does not matter, and the mean may move:
  what is judged is the average of the means so far. Where the plan fixes the order,
  `betting` is much tighter for values of little variance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from sandbox.errors import JudgementError
from sandbox.findings.sequential.proportion import (
    TUNED_AT_ALPHA,
    Claim,
    refuse_settings,
    tuned,
)
from sandbox.monitor.crossing import Floats

_VARIANCE = 0.25


def scaled(*, values: Sequence[float], least: float, most: float) -> Floats:
    """Return values of a bounded quantity as shares of their range.

    Args:
        values: In the unit of the bounds.
        least: Smallest value that is possible, by the plan.
        most: Largest value that is possible, by the plan.

    Raises:
        JudgementError: The bounds are not in order, or values lie outside them.
    """
    if not -math.inf < least < most < math.inf:
        raise JudgementError(
            f"The bounds of a quantity must rise and be finite, not {least}, {most}."
        )
    found = np.asarray(values, dtype=float)
    wrong = np.flatnonzero(~((found >= least) & (found <= most)))
    if wrong.size:
        raise JudgementError(
            f"{wrong.size} of {found.size} values lie outside [{least:g}, {most:g}],"
            f" the first is number {wrong[0] + 1}: {found[wrong[0]]:g}. Plan bounds"
            " that cannot be passed, or cap the quantity in the plan."
        )
    return np.asarray((found - least) / (most - least))


def mean_interval(
    *, total: float, n: int, alpha: float, t_opt: float
) -> tuple[float, float]:
    """Return an anytime-valid interval for a mean of values between 0 and 1.

    Args:
        total: Sum of the values so far.
        n: Units so far; with none, the interval is the whole of [0, 1].
        alpha: Chance that the sequence of intervals ever misses the average mean.
        t_opt: Sample size at which the interval is tightest, fixed beforehand.

    Raises:
        JudgementError: An argument is out of range.
    """
    _check(total, n, t_opt, alpha)
    if n == 0:
        return 0.0, 1.0
    spread = _VARIANCE * n + _rho(t_opt, TUNED_AT_ALPHA)
    odds = math.log(spread / _rho(t_opt, TUNED_AT_ALPHA))
    radius = math.sqrt(spread * (2 * math.log(1 / alpha) + odds)) / n
    mean = float(total) / n
    return max(0.0, mean - radius), min(1.0, mean + radius)


def mean_limit(
    *, total: float, n: int, alpha: float, t_opt: float, claim: Claim
) -> float:
    """Return the furthest threshold for which a claim about a mean is shown.

    For `at_least` it is a lower limit, for `at_most` an upper one; each is
    anytime-valid by itself.

    Args:
        total: Sum of the values so far, each between 0 and 1.
        n: Units so far.
        alpha: Chance that the limit is ever on the wrong side of the average mean.
        t_opt: Sample size at which the limit is tightest, fixed beforehand.
        claim: Which side is claimed.

    Raises:
        JudgementError: An argument is out of range.
    """
    _check(total, n, t_opt, alpha)
    if claim == "at_most":
        mirrored = mean_limit(
            total=n - total, n=n, alpha=alpha, t_opt=t_opt, claim="at_least"
        )
        return 1 - mirrored

    def excess(mean: float) -> float:
        value = mean_log_values(total, n, mean, "at_least", t_opt)
        return float(value) - math.log(1 / alpha)

    if n == 0 or excess(0.0) <= 0:
        return 0.0
    return float(optimize.brentq(excess, 0.0, total / n, xtol=1e-13))


def mean_log_value(
    *, total: float, n: int, threshold: float, claim: Claim, t_opt: float
) -> float:
    """Return the log e-value for the claim that a mean is on one side of a threshold.

    Args:
        total: Sum of the values so far, each between 0 and 1.
        n: Units so far.
        threshold: The mean claimed to be reached or kept to, in [0, 1].
        claim: `at_least` the threshold, or `at_most`.
        t_opt: Sample size at which the mixture is tightest, fixed beforehand.

    Returns:
        0 without units. Those of several trials add up (`evalues.combined`).

    Raises:
        JudgementError: An argument is out of range.
    """
    _check(total, n, t_opt)
    if not 0 <= threshold <= 1:
        raise JudgementError(f"The threshold must lie in [0, 1], not {threshold}.")
    return float(mean_log_values(total, n, threshold, claim, t_opt))


def mean_log_values(
    total: ArrayLike, n: ArrayLike, threshold: float, claim: Claim, t_opt: float
) -> Floats:
    """Return `mean_log_value` for arrays."""
    total, n = (np.asarray(item, dtype=float) for item in (total, n))
    excess = total - n * threshold
    if claim == "at_most":
        excess = -excess
    # One side needs the tightness of a two-sided mixture of twice the error chance.
    rho = _rho(t_opt, 2 * TUNED_AT_ALPHA)
    spread = _VARIANCE * n + rho
    value = math.log(2) + np.log(rho / spread) / 2 + excess**2 / (2 * spread)
    return np.asarray(value + special.log_ndtr(excess / np.sqrt(spread)))


def _rho(t_opt: float, alpha: float) -> float:
    return tuned(_VARIANCE * t_opt, alpha)


def _check(total: float, n: int, t_opt: float, alpha: float | None = None) -> None:
    problem = f"{n} values between 0 and 1 cannot add up to {total}"
    refuse_settings("" if 0 <= total <= n else problem, t_opt, alpha)
