"""Statistics that hold however often, and whenever, one looks.

Rules of this module:

* Every interval and threshold keeps its error chance under continuous looking and in
  small samples; nothing rests on a normal approximation.
* Arguments are keyword-only, so that a call reads like the plan it carries out.
* The confidence sequence is the two-sided beta-binomial mixture of Howard, Ramdas,
  McAuliffe and Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence
  sequences", Annals of Statistics 49 (2021), Proposition 7, for Bernoulli units: with
  probability 1 - alpha it holds the true proportion after every unit at once.
* The sequential harm test is that of `sandbox.monitor.maxsprt`, re-exported: what
  judges afterwards is what watched live. So are the two-stage designs of `two_stage`.
"""

from __future__ import annotations

import math

from scipy import optimize, special

from sandbox.errors import JudgementError
from sandbox.findings.two_stage import (
    TwoStageDesign,
    TwoStageDesigns,
    simon_two_stage,
)
from sandbox.monitor.maxsprt import (
    false_signal_chance,
    poisson_maxsprt_llr,
    poisson_maxsprt_threshold,
    unit_threshold,
)

__all__ = [
    "TwoStageDesign",
    "TwoStageDesigns",
    "bernoulli_interval",
    "bernoulli_log_mixture",
    "false_signal_chance",
    "poisson_maxsprt_llr",
    "poisson_maxsprt_threshold",
    "simon_two_stage",
    "unit_threshold",
]

_TUNED_AT_ALPHA = 0.05
"""Error chance at which the mixture is tightest; any value is valid, this is usual."""
_LEAST_WEIGHT = 1e-3
"""Prior units of the mixture when `t_opt` is too small to ask for any."""
_EDGE = 1e-9
"""Nearest to 0 and 1 at which the mixture is evaluated; it loses digits beyond."""


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
    spread = 2 * math.log(1 / _TUNED_AT_ALPHA)
    weight = max(t_opt / (spread + math.log(1 + spread)) - 1, _LEAST_WEIGHT)
    first, second = weight * p, weight * (1 - p)
    ratio = special.betaln(first + successes, second + n - successes)
    ratio -= special.betaln(first, second)
    return float(ratio - successes * math.log(p) - (n - successes) * math.log1p(-p))


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
    _check_interval(successes, n, alpha, t_opt)
    if n == 0:
        return 0.0, 1.0

    def excess(p: float) -> float:
        value = bernoulli_log_mixture(successes=successes, n=n, p=p, t_opt=t_opt)
        return value - math.log(1 / alpha)

    seen = successes / n
    lower = 0.0
    if seen > 0 and excess(min(_EDGE, seen / 2)) > 0:
        lower = optimize.brentq(excess, _EDGE, min(seen, 1 - _EDGE), xtol=1e-13)
    upper = 1.0
    if seen < 1 and excess(1 - _EDGE) > 0:
        upper = optimize.brentq(excess, max(seen, _EDGE), 1 - _EDGE, xtol=1e-13)
    return float(lower), float(upper)


def _check_interval(successes: int, n: int, alpha: float, t_opt: float) -> None:
    problems = []
    if not 0 <= successes <= n:
        problems.append(f"{successes} successes cannot come from {n} units")
    if not 0 < alpha < 1:
        problems.append(f"alpha must lie in (0, 1), not {alpha}")
    if not 0 < t_opt < math.inf:
        problems.append(f"t_opt must be a positive sample size, not {t_opt}")
    if problems:
        raise JudgementError("No interval: " + "; ".join(problems) + ".")
