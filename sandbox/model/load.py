"""What a load test did to the system under trial, and whether it kept its limits."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sandbox.model.record import Digest, Identifier, Instant, Record

LoadVerdict = Literal["pass", "fail", "inconclusive", "error"]
"""pass: every threshold held. fail: one did not. inconclusive: too few requests to say.
error: the generator did not run as asked."""

LoadMetric = Literal["failure_ratio", "p50_ms", "p95_ms", "p99_ms", "requests"]
"""What is limited: `requests` from below, everything else from above."""


class LoadStage(Record):
    """A stretch of a load test with a constant number of users."""

    users: int = Field(gt=0, le=500)
    seconds: float = Field(gt=0, le=86_400)


class LoadProfile(Record):
    """A load test as data; a closed model: a user waits for the answer."""

    profile: Identifier
    path: str = Field(default="/dispatch", pattern=r"^/[A-Za-z0-9/_.-]*$")
    customers: tuple[int, ...] = Field(min_length=1)
    """Customers the requests are made for, drawn at random."""
    pace_s: float = Field(gt=0, le=3600)
    """A user asks once in this many seconds, if the answers come faster than that."""
    users_per_s: float = Field(gt=0, le=1000)
    """How fast users arrive and leave between stages."""
    answer_within_s: float = Field(gt=0, le=300)
    """A request without an answer after this long has failed."""
    stages: tuple[LoadStage, ...] = Field(min_length=1)
    thresholds: dict[LoadMetric, float] = Field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Length of all stages."""
        return sum(stage.seconds for stage in self.stages)


class LoadThreshold(Record):
    """One limit on what the load generator saw."""

    metric: LoadMetric
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
    reasons: dict[str, int] = Field(default_factory=dict)
    """What was wrong with failed requests, the commonest first."""
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    thresholds: tuple[LoadThreshold, ...]
    verdict: LoadVerdict
    started_at: Instant
    finished_at: Instant
