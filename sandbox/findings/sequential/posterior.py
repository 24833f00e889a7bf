"""What one may believe of a proportion: reported beside a verdict, never alone.

Rules of this module:

* The prior is that of Jeffreys, Beta(1/2, 1/2): it says little, but it says something,
  and with few units the prior decides. So no verdict rests on it.
* A region of practical equivalence is the range of proportions that make no difference
  to anyone. The posterior chance is given below, within and above it.
* The type I error of a rule on it ("call it met at 95 %") is what
  `design.jeffreys_design` computes; it is not the one minus the level.
"""

from __future__ import annotations

from typing import NamedTuple

from scipy import special

from sandbox.errors import JudgementError
from sandbox.findings.sequential.proportion import check_counts

HALF = 0.5
"""Both parameters of Jeffreys' prior for a proportion."""


class Posterior(NamedTuple):
    """Posterior chances of where a proportion lies; they add up to 1."""

    below: float
    within: float
    above: float


def jeffreys_posterior(
    *, successes: int, n: int, least: float, most: float
) -> Posterior:
    """Return the chances below, within and above a region of practical equivalence.

    Args:
        successes: Units that succeeded.
        n: Units.
        least: Lower end of the region.
        most: Upper end; may equal the lower one.

    Raises:
        JudgementError: The counts or the region are out of range.
    """
    check_counts(successes, n, 1.0)
    if not 0 <= least <= most <= 1:
        raise JudgementError(
            "A region of practical equivalence lies within [0, 1], not"
            f" {least} to {most}."
        )
    a, b = successes + HALF, n - successes + HALF
    below = float(special.betainc(a, b, least))
    above = float(special.betaincc(a, b, most))
    return Posterior(below, max(0.0, 1 - below - above), above)
