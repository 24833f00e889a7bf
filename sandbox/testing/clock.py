"""A clock that stands still until it is moved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sandbox.errors import InputError
from sandbox.model.application import Defect

_START = datetime(2026, 1, 1, tzinfo=UTC)


class FixedClock:
    """Tells the instant it was set to.

    Args:
        instant: Where it stands at first; must carry a time zone.

    Raises:
        InputError: The instant has no time zone.
    """

    def __init__(self, instant: datetime = _START) -> None:
        self._now = _START
        self.set(instant)

    def now(self) -> datetime:
        """Return the instant it stands at, in UTC."""
        return self._now

    def set(self, instant: datetime) -> None:
        """Move it to `instant`, forwards or back.

        Raises:
            InputError: The instant has no time zone.
        """
        if instant.utcoffset() is None:
            raise InputError([_without_zone(instant)])
        self._now = instant.astimezone(UTC)

    def advance(self, seconds: float) -> datetime:
        """Move it by `seconds` and return the new instant."""
        self._now += timedelta(seconds=seconds)
        return self._now


def _without_zone(instant: datetime) -> Defect:
    return Defect(
        code="clock/no-time-zone",
        what=f"{instant.isoformat()} has no time zone",
        remedy="Give it one, for example tzinfo=UTC",
    )
