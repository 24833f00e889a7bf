"""Exact methods for one look at a number of units that was fixed beforehand.

Rules of this module:

* They stand here for comparison: with one look they need the fewest units. Looked at
  more than once they break their promise; `design.fixed_design` says by how much.
* Both are exact: Clopper and Pearson, "The use of confidence or fiducial limits
  illustrated in the case of the binomial", Biometrika 26 (1934).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from sandbox.findings.sequential.proportion import Claim, check_counts
from sandbox.monitor.crossing import Floats


def exact_p_value(*, successes: int, n: int, threshold: float, claim: Claim) -> float:
    """Return the chance of data so much in favour of a claim if it only just fails.

    Args:
        successes: Units that succeeded.
        n: Units, fixed beforehand.
        threshold: The proportion claimed to be reached or kept to.
        claim: `at_least` the threshold, or `at_most`.

    Raises:
        JudgementError: There are more successes than units, or fewer than none.
    """
    check_counts(successes, n, 1.0)
    return float(tails(successes, n, threshold, claim))


def tails(successes: ArrayLike, n: ArrayLike, threshold: float, claim: Claim) -> Floats:
    """Return `exact_p_value` for arrays."""
    k, n = (np.asarray(item, dtype=float) for item in (successes, n))
    if claim == "at_most":
        k, threshold = n - k, 1 - threshold
    # Of k or more successes; at least none is certain.
    some = special.betainc(np.maximum(k, 1), n - np.maximum(k, 1) + 1, threshold)
    return np.where(k > 0, some, 1.0)


def clopper_pearson(*, successes: int, n: int, alpha: float) -> tuple[float, float]:
    """Return the exact interval for a proportion, for one look.

    Args:
        successes: Units that succeeded.
        n: Units, fixed beforehand; with none, the interval is the whole of [0, 1].
        alpha: Chance of missing the true proportion; half of it on each side.

    Raises:
        JudgementError: An argument is out of range.
    """
    check_counts(successes, n, 1.0, alpha)
    failures = n - successes
    lower, upper = 0.0, 1.0
    if successes:
        lower = float(special.betaincinv(successes, failures + 1, alpha / 2))
    if failures:
        upper = float(special.betainccinv(successes + 1, failures, alpha / 2))
    return lower, upper
