"""Which limits held, and what follows.

Rules of this module:

* `requests` is a limit from below, every other metric one from above.
* A load test with too few requests shows nothing: its verdict is inconclusive, unless
  those that were made already fail.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sandbox.model.load import LoadMetric, LoadThreshold, LoadVerdict


def evaluate(
    limits: Mapping[LoadMetric, float], seen: Mapping[str, float | None]
) -> tuple[LoadThreshold, ...]:
    """Return every limit with what was seen and whether it holds."""
    return tuple(
        LoadThreshold(
            metric=metric,
            limit=limit,
            seen=seen[metric],
            holds=_holds(metric, limit, seen[metric]),
        )
        for metric, limit in limits.items()
    )


def conclude(thresholds: Sequence[LoadThreshold], *, requests: int) -> LoadVerdict:
    """Return the verdict that thresholds give together.

    Args:
        thresholds: As evaluated.
        requests: How many requests were made.
    """
    failed = {item.metric for item in thresholds if item.holds is False}
    if failed - {"requests"}:
        return "fail"
    return "inconclusive" if failed or not requests else "pass"


def _holds(metric: LoadMetric, limit: float, seen: float | None) -> bool | None:
    if seen is None:
        return None
    return seen >= limit if metric == "requests" else seen <= limit
