"""The running intersection of intervals, which is empty when the data moved.

Rules of this module:

* Intervals that hold together, after every unit, may be intersected: one value lies in
  all of them with probability 1 - alpha, if there is one value.
* Where they exclude each other there is no interval to report, least of all one with
  its limits exchanged: something the method assumes is broken, and that is the result.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class RunningInterval(NamedTuple):
    """The values that all intervals hold, or that there is none."""

    limits: tuple[float, float] | None
    """Lower and upper limit; None where the result is invalid."""
    reason: str
    """Why it is invalid; empty otherwise."""


def running_interval(lower: float, upper: float) -> RunningInterval:
    """Return the interval between two running limits, or that they exclude each other.

    Args:
        lower: The largest of the lower limits.
        upper: The smallest of the upper limits.
    """
    if lower <= upper:
        return RunningInterval((lower, upper), "")
    return RunningInterval(
        None,
        f"One interval lies above {lower:.4g} and another below {upper:.4g}, so no "
        "single value fits all of the data: what is measured changed while it was "
        "measured.",
    )


def running_intersection(
    intervals: Iterable[tuple[float, float]],
) -> RunningInterval:
    """Intersect the intervals of all looks.

    Args:
        intervals: Lower and upper limits, anytime-valid together, within [0, 1].

    Returns:
        The intersection; [0, 1] where there is no interval.
    """
    lower, upper = 0.0, 1.0
    for low, high in intervals:
        lower, upper = max(lower, low), min(upper, high)
    return running_interval(lower, upper)
