"""Clocks, and what is said of many times."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from statistics import median, quantiles
from typing import Any, NamedTuple, Self


class Clocks(NamedTuple):
    """Seconds on the wall and of the processor."""

    wall: float
    processor: float

    @classmethod
    def read(cls) -> Self:
        """Return what both say now."""
        return cls(time.perf_counter(), time.process_time())

    def until_now(self) -> Clocks:
        """Return what has passed on both."""
        now = Clocks.read()
        return Clocks(now.wall - self.wall, now.processor - self.processor)


def timed(act: Callable[[], object]) -> float:
    """Return the seconds on the wall that an act takes."""
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def spread(taken: Iterator[Clocks]) -> dict[str, Any]:
    """Return how many times there are and how they are spread, in milliseconds."""
    clocks = list(taken)
    values = [1000 * item.wall for item in clocks]
    cuts = quantiles(values, n=100)
    return {
        "n": len(values),
        "p50": round(cuts[49], 2),
        "p95": round(cuts[94], 2),
        "p99": round(cuts[98], 2),
        "max": round(max(values), 2),
        "processor_p50": round(1000 * median(item.processor for item in clocks), 2),
    }
