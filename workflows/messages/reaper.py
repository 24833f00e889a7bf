"""One sweep over all environments."""

from __future__ import annotations

from sandbox.model.record import Record


class ReaperInput(Record):
    """One sweep; `grace_s` is left to the environment's own workflow first."""

    grace_s: float = 30.0


class ReaperResult(Record):
    """What the reaper found and removed."""

    checked: int
    removed: tuple[str, ...]
