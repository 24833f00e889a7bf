"""Counts what the load generator saw, without rounding percentiles.

Rules of this module:

* Latencies are kept to a tenth of a millisecond, failures included: who waited in vain
  has waited.
* A percentile is a latency that was seen (nearest rank), not an interpolation.
"""

from __future__ import annotations

import math
from collections import Counter


class Histogram:
    """Requests by latency, and failures by what was wrong."""

    def __init__(self) -> None:
        self.latencies: Counter[int] = Counter()
        self.reasons: Counter[str] = Counter()

    def add(self, latency_ms: float, failure: str = "") -> None:
        """Count one request.

        Args:
            latency_ms: Milliseconds from request to answer, or to giving up.
            failure: What was wrong; empty when nothing was.
        """
        self.latencies[round(latency_ms * 10)] += 1
        if failure:
            self.reasons[failure] += 1

    @property
    def requests(self) -> int:
        """All requests, failed ones included."""
        return self.latencies.total()

    @property
    def failures(self) -> int:
        """Requests that failed."""
        return self.reasons.total()

    def percentile(self, share: float) -> float | None:
        """Return the latency in ms that a share of requests did not exceed.

        Args:
            share: Above 0, at most 1; for example 0.95.

        Returns:
            None while nothing was counted.
        """
        rank = math.ceil(share * self.requests)
        for tenths in sorted(self.latencies):
            rank -= self.latencies[tenths]
            if rank <= 0:
                return tenths / 10
        return None

    def measures(self) -> dict[str, float | None]:
        """Return every metric that a threshold can limit."""
        total = self.requests
        return {
            "requests": total,
            "failure_ratio": self.failures / total if total else None,
            "p50_ms": self.percentile(0.50),
            "p95_ms": self.percentile(0.95),
            "p99_ms": self.percentile(0.99),
        }
