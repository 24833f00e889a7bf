"""The inspection of an environment: what is asked, and what was found."""

from __future__ import annotations

from pydantic import Field

from sandbox.model.drift import EnvironmentShape
from sandbox.model.record import Record, TrialId
from workflows.messages.environment import ProofSummary
from workflows.messages.trial import BreachReport


class InspectEnvironment(Record):
    """Activity input: compare an environment with what the decision asks for."""

    trial_id: TrialId
    shape: EnvironmentShape
    uid: str = ""
    """The namespace it was made in; empty where nobody knows."""
    seen: dict[str, int] = Field(default_factory=dict)
    """Object → in how many inspections in a row it was found different."""


class Inspected(Record):
    """Activity result: what is to be carried on, and whether to freeze."""

    seen: dict[str, int] = Field(default_factory=dict)
    breach: BreachReport | None = None
    """Set where the environment must be frozen."""


class Proven(Record):
    """Activity result: a proof of a running trial, or why to freeze."""

    proof: ProofSummary | None = None
    """None where the proof could not be made; it is on record, and tried again."""
    breach: BreachReport | None = None
