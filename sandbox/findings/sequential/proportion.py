"""A proportion of units, judged after any unit: beta-binomial mixtures.

Rules of this module:

* The mixtures are those of Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform,
  nonparametric, nonasymptotic confidence sequences", Annals of Statistics 49 (2021),
  Proposition 7, for Bernoulli units, and their one-sided form.
* Against a proportion `t`, the two-sided mixture weighs all other proportions by a Beta
  law centred on `t`; the one-sided mixture only those on the side that is claimed. So
  the one-sided one is an e-value against every proportion on the other side at once.
* Both hold after every unit together: with probability 1 - alpha (Ville).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from sandbox.errors import JudgementError
from sandbox.monitor.crossing import Floats

Claim = Literal["at_least", "at_most"]
"""Which side of a threshold is claimed; what is doubted is the other side."""

TUNED_AT_ALPHA = 0.05
"""Error chance at which a mixture is tightest; any value is valid, this is usual."""
_LEAST_WEIGHT = 1e-3
"""Prior units of the mixture when `t_opt` is too small to ask for any."""
_SMALL = 1e-290
"""Chances below this are computed as logarithms; near it they begin to lose digits."""
_NEGLIGIBLE = 1e-15
_EDGE = 1e-9
"""Nearest to 0 and 1 at which a mixture is evaluated; it loses digits beyond."""


def bernoulli_log_mixture(*, successes: int, n: int, p: float, t_opt: float) -> float:
    """Return the log of the mixture martingale against the proportion `p`.

    It starts at 0 and, if units succeed with chance `p`, is never above log(1 / alpha)
    with probability at least 1 - alpha, over all sample sizes together (Ville).

    Args:
        successes: Units that succeeded so far.
        n: Units so far.
        p: The proportion doubted, inside (0, 1).
        t_opt: Sample size at which the mixture is tightest.

    Returns:
        log of a Beta mixture of likelihood ratios, the Beta centred on `p`.
    """
    return float(log_mixtures(successes, n, p, t_opt))


def bernoulli_log_value(
    *, successes: int, n: int, threshold: float, claim: Claim, t_opt: float
) -> float:
    """Return the log e-value for the claim that a proportion is on one side.

    Whatever the proportion on the other side of the threshold, also if it moves there
    from unit to unit as long as its average so far stays there, the e-value has a mean
    of at most 1 whenever one stops. Those of trials add up (`evalues.combined`).

    Args:
        successes: Units that succeeded so far.
        n: Units so far.
        threshold: The proportion claimed to be reached or kept to, inside (0, 1).
        claim: `at_least` the threshold, or `at_most`.
        t_opt: Sample size at which the mixture is tightest, fixed beforehand.

    Returns:
        0 without units.

    Raises:
        JudgementError: An argument is out of range.
    """
    check_counts(successes, n, t_opt)
    if not 0 < threshold < 1:
        raise JudgementError(f"The threshold must lie in (0, 1), not {threshold}.")
    return float(log_values(successes, n, threshold, claim, t_opt))


def bernoulli_interval(
    *, successes: int, n: int, alpha: float, t_opt: float
) -> tuple[float, float]:
    """Return an anytime-valid interval for the proportion of successes.

    Args:
        successes: Units that succeeded so far.
        n: Units so far; with none, the interval is the whole of [0, 1].
        alpha: Chance that the sequence of intervals ever misses the true proportion.
        t_opt: Sample size at which the interval is tightest, for example the least
            number of units of the plan. Fixed before the data are seen.

    Returns:
        Lower and upper limit: all proportions the mixture martingale has not refuted.

    Raises:
        JudgementError: An argument is out of range.
    """
    check_counts(successes, n, t_opt, alpha)
    if n == 0:
        return 0.0, 1.0

    def excess(p: float) -> float:
        return float(log_mixtures(successes, n, p, t_opt)) - math.log(1 / alpha)

    return _lower(excess, successes / n), _upper(excess, successes / n)


def bernoulli_limit(
    *, successes: int, n: int, alpha: float, t_opt: float, claim: Claim
) -> float:
    """Return the furthest threshold for which a claim about a proportion is shown.

    For `at_least` it is a lower limit, for `at_most` an upper one; each is
    anytime-valid by itself. `bernoulli_interval` keeps `alpha` for both together and
    so lies further from the data, as a rule.

    Args:
        successes: Units that succeeded so far.
        n: Units so far.
        alpha: Chance that the limit is ever on the wrong side of the true proportion.
        t_opt: Sample size at which the limit is tightest, fixed beforehand.
        claim: Which side is claimed.

    Raises:
        JudgementError: An argument is out of range.
    """
    check_counts(successes, n, t_opt, alpha)
    if n == 0:
        return 0.0 if claim == "at_least" else 1.0

    def excess(p: float) -> float:
        return float(log_values(successes, n, p, claim, t_opt)) - math.log(1 / alpha)

    search = _lower if claim == "at_least" else _upper
    return search(excess, successes / n)


def log_mixtures(
    successes: ArrayLike, n: ArrayLike, p: ArrayLike, t_opt: float
) -> Floats:
    """Return `bernoulli_log_mixture` for arrays."""
    s, n, p = (np.asarray(item, dtype=float) for item in (successes, n, p))
    weight = _weight(t_opt, TUNED_AT_ALPHA)
    ratio = special.betaln(weight * p + s, weight * (1 - p) + n - s)
    ratio -= special.betaln(weight * p, weight * (1 - p))
    return np.asarray(ratio - s * np.log(p) - (n - s) * np.log1p(-p))


def log_values(
    successes: ArrayLike, n: ArrayLike, threshold: ArrayLike, claim: Claim, t_opt: float
) -> Floats:
    """Return `bernoulli_log_value` for arrays."""
    s, n, t = (np.asarray(item, dtype=float) for item in (successes, n, threshold))
    if claim == "at_most":
        s, t = n - s, 1 - t
    # One side needs the tightness of a two-sided mixture of twice the error chance.
    weight = _weight(t_opt, 2 * TUNED_AT_ALPHA)
    a, b = weight * t, weight * (1 - t)
    ratio = special.betaln(a + s, b + n - s) - special.betaln(a, b)
    ratio += _log_above(a + s, b + n - s, t) - np.log(special.betaincc(a, b, t))
    return np.asarray(ratio - s * np.log(t) - (n - s) * np.log1p(-t))


def _log_above(a: Floats, b: Floats, t: Floats) -> Floats:
    """Return the log chance that a Beta law lies above `t`, however small it is.

    Where the chance itself is below the smallest number, by its series (DLMF 8.17.8
    with both sides exchanged): t^a (1-t)^b / (b B(a, b)) times the sum over k of
    (a+b)_k / (b+1)_k (1-t)^k. There the law lies far below `t`, so the terms fall.
    """
    chance = np.asarray(special.betaincc(a, b, t))
    tiny = chance < _SMALL
    logs = np.array(np.log(np.where(tiny, 1.0, chance)))
    if tiny.any():
        a, b, t = (np.broadcast_to(item, tiny.shape)[tiny] for item in (a, b, t))
        first = special.xlogy(a, t) + special.xlog1py(b, -t) - np.log(b)
        logs[tiny] = first - special.betaln(a, b) + np.log(_falling_sum(a, b, 1 - t))
    return logs


def _falling_sum(a: Floats, b: Floats, rest: Floats) -> Floats:
    total, term, k = np.ones_like(a), np.ones_like(a), 0
    while (term > _NEGLIGIBLE * total).any():
        term = term * (a + b + k) / (b + 1 + k) * rest
        total, k = total + term, k + 1
    return total


def check_counts(
    successes: int, n: int, t_opt: float, alpha: float | None = None
) -> None:
    """Refuse counts and settings that are out of range, all at once."""
    problem = f"{successes} successes cannot come from {n} units"
    refuse_settings("" if 0 <= successes <= n else problem, t_opt, alpha)


def refuse_settings(problem: str, t_opt: float, alpha: float | None) -> None:
    """Refuse settings that are out of range, together with a problem found before."""
    problems = [problem] if problem else []
    if alpha is not None and not 0 < alpha < 1:
        problems.append(f"alpha must lie in (0, 1), not {alpha}")
    if not 0 < t_opt < math.inf:
        problems.append(f"t_opt must be a positive sample size, not {t_opt}")
    if problems:
        raise JudgementError("No interval: " + "; ".join(problems) + ".")


def tuned(size: float, alpha: float) -> float:
    """Return the prior size of a mixture that is tightest at `size`."""
    spread = 2 * math.log(1 / alpha)
    return size / (spread + math.log(1 + spread))


def _weight(t_opt: float, alpha: float) -> float:
    return max(tuned(t_opt, alpha) - 1, _LEAST_WEIGHT)


def _lower(excess: Callable[[float], float], seen: float) -> float:
    if seen > 0 and excess(min(_EDGE, seen / 2)) > 0:
        return float(optimize.brentq(excess, _EDGE, min(seen, 1 - _EDGE), xtol=1e-13))
    return 0.0


def _upper(excess: Callable[[float], float], seen: float) -> float:
    if seen < 1 and excess(1 - _EDGE) > 0:
        return float(optimize.brentq(excess, max(seen, _EDGE), 1 - _EDGE, xtol=1e-13))
    return 1.0
