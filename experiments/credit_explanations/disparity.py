"""Are two groups approved alike? Limits for the ratio of two rates, at any time.

Rules of this module:

* Each rate has an anytime-valid interval at half of alpha, so both hold together with
  chance 1 - alpha; the ratio lies between their outermost quotients. That is wider than
  need be, and needs nothing but `sandbox.findings.sequential.bernoulli_interval`.
* A decision that is missing counts as a refusal in one limit and as an approval in the
  other.
* Beside it stands what is often done: the ratio as seen, and an ordinary test of a
  difference, as if each look were the only one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scipy import stats

from sandbox.findings.sequential import bernoulli_interval
from sandbox.model.finding import Counts
from sandbox.model.observation import Observation
from sandbox.model.record import Identifier, Record


class Groups(Record):
    """The rules whose satisfied units are the approvals of either group."""

    a: Identifier
    b: Identifier


class Sizes(Record):
    """Units of either group at which its interval is tightest."""

    a: int
    b: int


class Disparity(Record):
    """A question about two groups, fixed before the data are looked at."""

    disparity: Identifier
    claim: str
    groups: Groups
    least_ratio: float
    alpha: float
    tuned_at: Sizes
    looks_every: int
    """Applications between looks."""


def looks(question: Disparity, units: Sequence[Observation]) -> list[dict[str, Any]]:
    """Return every look, the last with all applications.

    Args:
        question: As fixed.
        units: Observations of the rules of both groups, in order.
    """
    every = question.looks_every
    points = [*range(every, len(units), every), len(units)]
    return [_look(question, units[:point]) for point in points]


def ratio_limits(question: Disparity, a: Counts, b: Counts) -> tuple[float, float]:
    """Return the limits of the rate of group a divided by that of group b."""
    low_a, high_a = _limits(a, question.alpha / 2, question.tuned_at.a)
    low_b, high_b = _limits(b, question.alpha / 2, question.tuned_at.b)
    return low_a / high_b, (high_a / low_b if low_b > 0 else float("inf"))


def verdict(question: Disparity, lower: float, upper: float) -> str:
    """Return `met`, `not_met` or `inconclusive`."""
    if lower >= question.least_ratio:
        return "met"
    return "not_met" if upper < question.least_ratio else "inconclusive"


def _look(question: Disparity, units: Sequence[Observation]) -> dict[str, Any]:
    a, b = (_counts(units, rule) for rule in (question.groups.a, question.groups.b))
    lower, upper = ratio_limits(question, a, b)
    seen = _rate(a) / _rate(b) if _rate(b) else None
    table = [[a.satisfied, a.violated], [b.satisfied, b.violated]]
    return {
        "applications": len(units),
        "a": a.model_dump(),
        "b": b.model_dump(),
        "ratio": seen,
        "lower": lower,
        "upper": upper if upper != float("inf") else None,
        "verdict": verdict(question, lower, upper),
        "fixed_p": float(stats.chi2_contingency(table, correction=False).pvalue),
    }


def _limits(counts: Counts, alpha: float, tuned_at: int) -> tuple[float, float]:
    lower, _ = bernoulli_interval(
        successes=counts.satisfied, n=counts.units, alpha=alpha, t_opt=tuned_at
    )
    _, upper = bernoulli_interval(
        successes=counts.satisfied + counts.not_evaluable,
        n=counts.units,
        alpha=alpha,
        t_opt=tuned_at,
    )
    return lower, upper


def _rate(counts: Counts) -> float:
    evaluable = counts.satisfied + counts.violated
    return counts.satisfied / evaluable if evaluable else 0.0


def _counts(units: Sequence[Observation], rule: str) -> Counts:
    results = [unit.result for unit in units if unit.rule == rule]
    return Counts(
        satisfied=results.count("satisfied"),
        violated=results.count("violated"),
        not_evaluable=results.count("not_evaluable"),
    )
