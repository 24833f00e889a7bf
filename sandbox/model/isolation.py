"""What an examination of a cluster's isolation found."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sandbox.model.record import Record


class IsolationCheck(Record):
    """One thing that was tried on a cluster."""

    kind: Literal["isolation-check"] = "isolation-check"
    id: str
    """Stable name, for example `isolation.policy-enforced`."""
    ok: bool | None
    """Whether it is as it must be; None where that is unknown or not needed."""
    what: str
    """What was found."""
    remedy: str = ""
    """What to do about it; empty where nothing is to be done."""
    figures: dict[str, float | None] = Field(default_factory=dict)
    """What was measured; a name that ends in `_s` counts seconds."""


class FirstPackets(Record):
    """What became of connections that were the first act of their pods.

    Every pod starts in a namespace that is new and whose policy denied everything
    before the pod was asked for; its controls start where there is no policy.
    """

    kind: Literal["first-packets"] = "first-packets"
    starts: int
    """Pods that tried under the policy, one connection each."""
    got_through: int
    """Connections that were made although the policy denies them."""
    unclear: int
    """Pods that ended in another way than reaching or being blocked."""
    controls: int
    """Pods that tried the same without a policy."""
    controls_through: int
    """Connections these made; as many as `controls` unless the control failed."""
    namespaces: int
    seconds: float
