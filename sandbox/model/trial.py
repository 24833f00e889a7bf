"""A trial as a case: its states, its environment, its interruptions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sandbox.model.application import SystemNeeds, Telemetry
from sandbox.model.decision import IsolationClass
from sandbox.model.record import Digest, Instant, Record, TrialId

WARM_PREFIX = "warm-"
"""What the ids of warm environments begin with, and those of trials do not."""

CaseState = Literal[
    "submitted",
    "returned",
    "under_review",
    "refused",
    "approved",
    "provisioning",
    "running",
    "paused",
    "closing",
    "closed",
    "failed",
]
"""Where the case stands.

submitted: filed, not yet checked. returned: defects, waiting for a corrected one.
under_review: complete, authorities are heard. refused, approved: decided. provisioning:
plan locked, environment being built and proven. running: traffic is let in. paused:
environment frozen, a review decides. closing: ended, evidence being sealed and the
environment torn down. closed: nothing is left but the evidence. failed: the environment
could not be proven; torn down.
"""

EnvironmentState = Literal[
    "absent", "provisioning", "ready", "frozen", "gone", "failed"
]


class RecorderEndpoint(Record):
    """Where the system under trial sends its telemetry."""

    host: str
    http_port: int
    grpc_port: int


class EnvironmentSpec(Record):
    """Everything that decides what the namespace of a trial contains."""

    kind: Literal["environment-spec"] = "environment-spec"
    trial_id: TrialId
    isolation_class: IsolationClass
    expires_at: Instant
    temporary_rule_digest: Digest
    rulebook_digest: Digest
    plan_digest: Digest
    needs: SystemNeeds
    images: dict[str, Digest]
    probe_image: str = ""
    """The product's own image, as pods name it, pinned by digest: it makes the attempts
    of the isolation proof. It is allowed beside `images`; empty, nothing is proven."""
    telemetry: Telemetry
    recorder: RecorderEndpoint
    load_source: str
    """Address the load comes from, as CIDR; the only way in."""
    caps: dict[str, float] = Field(default_factory=dict)
    warm: str = ""
    """Id of the warm environment it lies in; empty: it was made for this trial."""

    @property
    def namespace(self) -> str:
        """Name of the trial's namespace."""
        return f"trial-{self.warm or self.trial_id}"


class ProofTarget(Record):
    """One address the isolation proof tries, and what must come of it."""

    name: str
    """Stable, for example `metadata`, `api-server`, `recorder`."""
    host: str
    port: int
    expect: Literal["reached", "blocked"]
    controlled: bool = True
    """Whether a positive control must reach it from where that is allowed."""


class ProofAttempt(Record):
    """One attempt of the isolation proof, as seen."""

    target: ProofTarget
    origin: Literal["trial", "control"]
    """`control`: from a namespace where reaching it is allowed."""
    outcome: Literal["reached", "blocked", "error"]
    detail: str
    started_at: Instant
    finished_at: Instant


class IsolationProof(Record):
    """The recorded attempts that show what is and is not reachable."""

    kind: Literal["isolation-proof"] = "isolation-proof"
    trial_id: TrialId
    isolation_class: IsolationClass
    attempts: tuple[ProofAttempt, ...]
    workload_rights: tuple[str, ...]
    """Rights of the workload account; must be empty."""
    policy_enforced: bool
    holds: bool
    """All expectations met; every controlled negative was reached by its control."""
    failures: tuple[str, ...] = ()
    """Why it does not hold, one sentence each."""
    warm: str = ""
    """Id of the warm environment in which the attempts were made, before the trial
    claimed it; empty: they were made for this proof."""


class Pause(Record):
    """An interruption of the trial: why, since when, until when."""

    kind: Literal["pause"] = "pause"
    reason: str
    paused_at: Instant
    resumed_at: Instant | None = None


class Transition(Record):
    """One step of the case from state to state."""

    kind: Literal["transition"] = "transition"
    trial_id: TrialId
    version: int
    """Number of this transition in the case, from 1."""
    act: str
    before: CaseState
    after: CaseState
    by: str
    """Name of the actor."""
    reason: str
    at: Instant
