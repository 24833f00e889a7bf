"""Instants as datetimes, and as OpenTelemetry counts them.

Rules of this module:

* OpenTelemetry counts nanoseconds since 1970 in UTC; a datetime holds microseconds.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def unix_nano_of(instant: datetime) -> int:
    """Return an instant as nanoseconds since 1970."""
    return (instant - EPOCH) // _MICROSECOND * 1000


def at_unix_nano(nanoseconds: int) -> datetime:
    """Return the instant so many nanoseconds after 1970, in UTC, to the microsecond."""
    return EPOCH + timedelta(microseconds=nanoseconds // 1000)
