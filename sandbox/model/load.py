"""What a load test did to the system under trial, and whether it kept its limits."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sandbox.model.record import Digest, Identifier, Instant, Record

LoadVerdict = Literal["pass", "fail", "inconclusive", "error"]
"""pass: every threshold held. fail: one did not. inconclusive: too few requests to say.
error: the generator did not run as asked."""


class LoadThreshold(Record):
    """One limit on what the load generator saw."""

    metric: Literal["failure_ratio", "p50_ms", "p95_ms", "p99_ms", "requests"]
    limit: float
    seen: float | None
    holds: bool | None


class LoadResult(Record):
    """One load test, as its generator reported it."""

    kind: Literal["load-result"] = "load-result"
    profile: Identifier
    profile_digest: Digest
    host: str
    seed: int
    requests: int = Field(ge=0)
    failures: int = Field(ge=0)
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    thresholds: tuple[LoadThreshold, ...]
    verdict: LoadVerdict
    started_at: Instant
    finished_at: Instant
