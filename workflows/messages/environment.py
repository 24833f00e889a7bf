"""The environment of one trial: wishes, reports, tasks."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from sandbox.model.record import Digest, Instant, Record, TrialId
from sandbox.model.trial import EnvironmentState


class ProofSummary(Record):
    """The isolation proof in figures."""

    digest: Digest
    holds: bool
    proven_s: float = 0.0
    """From the first object applied to the proof: the environment is ready."""
    attempts: int
    allowed_reached: int
    denied_blocked: int
    controls_passed: int
    failures: tuple[str, ...] = ()


class EnvironmentReport(Record):
    """Signal: the environment reached a state (or failed to)."""

    generation: int
    state: EnvironmentState
    namespace: str
    detail: str = ""
    seconds: float = 0.0
    """How long it took."""
    finished_at: Instant | None = None
    proof: ProofSummary | None = None
    inspected_at: Instant | None = None
    """When it was last compared with what the decision asks for."""


class EnvironmentInput(Record):
    """The environment of one trial."""

    trial_id: TrialId
    generation: int
    state: EnvironmentState = "absent"
    desired: EnvironmentState = "ready"
    manifests: str = "system"
    """Name of the document with the system's manifests."""
    reached: int = -1
    """Generation that was reached before a continue-as-new."""
    inspect_every_s: float = 0.0
    """Seconds between two inspections; 0: it is not inspected."""
    prove_every_s: float = 0.0
    """Seconds between two proofs; 0: it is proven when it is opened, and only then."""
    uid: str = ""
    """The namespace it was made in."""
    namespace: str = ""
    """Name of that namespace; empty is the one named after the trial."""
    seen: dict[str, int] = Field(default_factory=dict)
    """Object → in how many inspections in a row it was found different."""
    proven_at: Instant | None = None


class DesiredState(Record):
    """Signal: bring the environment into a state; the highest generation wins."""

    generation: int
    state: Literal["ready", "frozen", "gone"]
    manifests: str = ""
    """Document with another version of the system; empty keeps the present one."""


class FreezeNow(Record):
    """Signal: freeze at once, whatever else is under way."""

    reason: str
    breach_id: str = ""


class EnvironmentTask(Record):
    """Activity input: one trial's environment."""

    trial_id: TrialId
    generation: int
    manifests: str = "system"
    breach_id: str = ""
    uid: str = ""
    """The namespace it was made in; empty where nobody knows yet."""
    namespace: str = ""
    """Name of that namespace, as far as it is known; for what is said of it once it is
    gone."""


class EnvironmentOutcome(Record):
    """Activity result: what was reached and how long it took."""

    namespace: str
    seconds: float
    finished_at: Instant
    detail: str = ""
    proof: ProofSummary | None = None
    uid: str = ""
    """The namespace, where one was made."""


class SystemManifests(Record):
    """The system under trial as a document: Kubernetes objects as written."""

    objects: list[dict[str, Any]]
