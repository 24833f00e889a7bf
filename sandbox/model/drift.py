"""What was changed in a trial's environment by someone else, and what came of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sandbox.model.record import Instant, Record, TrialId

Change = Literal["missing", "changed", "foreign", "unlawful"]
"""missing: asked for and not there. changed: there, and says something else. foreign:
there, and nobody asked for it. unlawful: there, and a rule about objects is against
it."""

DriftAction = Literal["put_back", "escalate", "note"]
"""put_back: it is made as the decision asks again. escalate: that cannot be done, or
did not last; the environment is frozen. note: it is recorded, and nothing else."""

EnvironmentShape = Literal["ready", "frozen"]
"""What the environment is compared with: open as decided, or frozen."""


class Author(Record):
    """Who made a change, as the API server wrote it down."""

    user: str
    """As it authenticated; `A as B` where it acted for another."""
    verb: str
    """create, update, patch, delete or deletecollection."""
    agent: str = ""
    """What the program calls itself, which nobody checks."""
    at: Instant
    """When the request came in, by the API server's clock."""

    def sentence(self) -> str:
        """Return it for a person."""
        with_what = f" with {self.agent.split(' ')[0]}" if self.agent else ""
        return f"{self.verb} by {self.user}{with_what} at {self.at:%H:%M:%S} UTC"


class DriftFinding(Record):
    """One object that is not as the decision asks."""

    object: str
    """As people write it: `NetworkPolicy trial-x/default-deny`."""
    change: Change
    fields: tuple[str, ...] = ()
    """Paths of the fields that differ; none where the whole object does."""
    action: DriftAction
    detail: str = ""
    """In words for a person; empty where object and fields say it all."""
    author: Author | None = Field(default=None, exclude_if=lambda value: value is None)
    """Who made the latest change of the object; None where that is not known."""

    def sentence(self) -> str:
        """Return what was found, for a person."""
        where = f" in {', '.join(self.fields)}" if self.fields else ""
        who = f" ({self.author.sentence()})" if self.author else ""
        why = f": {self.detail}" if self.detail else ""
        return f"{self.object} is {self.change}{where}{who}{why}"


class Drift(Record):
    """One comparison of an environment with what the decision asks for."""

    kind: Literal["drift"] = "drift"
    act: Literal["drift", "put-back"] = "drift"
    """drift: what was found, recorded before anything is done. put-back: what is left
    of that afterwards; no finding means that all was put back."""
    trial_id: TrialId
    shape: EnvironmentShape
    namespace_uid: str = ""
    """The namespace that was looked at; empty where there is none."""
    found_at: Instant
    findings: tuple[DriftFinding, ...] = ()

    def having(self, action: DriftAction) -> tuple[DriftFinding, ...]:
        """Return the findings that ask for this action."""
        return tuple(item for item in self.findings if item.action == action)
