"""How many, and from when to when: what a gap says besides its reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sandbox.model.segment import Gap, GapReason


@dataclass
class Extent:
    """Counts occurrences and keeps the stretch they lie in."""

    count: int = 0
    since: datetime | None = None
    until: datetime | None = None

    def note(self, at: datetime, *, count: int = 1) -> None:
        """Add occurrences at an instant; instants may come in any order."""
        self.count += count
        self.since = at if self.since is None else min(self.since, at)
        self.until = at if self.until is None else max(self.until, at)

    def join(self, other: Extent) -> None:
        """Add what another extent counts."""
        for at in (other.since, other.until):
            if at is not None:
                self.note(at, count=0)
        self.count += other.count

    def gap(self, producer: str, reason: GapReason, detail: str) -> Gap:
        """Return it as a gap of a producer."""
        return Gap(
            producer=producer,
            reason=reason,
            detail=detail,
            count=self.count,
            since=self.since,
            until=self.until,
        )
