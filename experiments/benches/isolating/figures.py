"""What is said of many times, and whether a bar holds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile: a value that was seen, never a mixture."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def figure(values: Sequence[float], **bars: float) -> dict[str, Any]:
    """Return how values are spread, in the unit of the values.

    Args:
        values: What was measured; one or more.
        **bars: Most that a percentile may be: `p95=3.5`.
    """
    found: dict[str, Any] = {
        "n": len(values),
        "p50": round(percentile(values, 50), 3),
        "p95": round(percentile(values, 95), 3),
        "p99": round(percentile(values, 99), 3),
        "max": round(max(values), 3),
    }
    if bars:
        found["bar"] = bars
        found["holds"] = holds(found, bars)
    return found


def holds(found: Mapping[str, Any], bars: Mapping[str, float]) -> bool:
    """Return whether every percentile is within its bar."""
    return all(found[name] <= bar for name, bar in bars.items())
