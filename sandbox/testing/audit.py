"""An audit log in memory."""

from __future__ import annotations

from sandbox.model.drift import Author
from sandbox.ports import ObjectRef


class FakeAuditLog:
    """Remembers who is said to have changed what."""

    def __init__(self) -> None:
        self._last: dict[ObjectRef, Author] = {}

    def note(self, ref: ObjectRef, author: Author) -> None:
        """Take down one change; the latest one noted counts."""
        self._last[ref] = author

    def last_change(self, ref: ObjectRef) -> Author | None:
        """Return who made the latest change of an object."""
        return self._last.get(ref)
