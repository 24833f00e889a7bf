"""Lawful deadlines: civil periods added to instants, in a jurisdiction's own calendar.

Rules of this module:

* A clock is a function of the regime and of the events so far, never a timer.
* Years, months, weeks and days are counted on the wall calendar of the regime's time
  zone; hours, minutes and seconds are elapsed time (ISO 8601-1, 5.5.2).
* A month later is the same day of the month, or the last day where there is none.
* A period without an event it starts from is not due.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import isodate

from sandbox.errors import ProcedureError
from sandbox.model.regime import RegimeClock

_CALENDAR = tuple(
    datetime(year, month, 1, tzinfo=UTC)
    for year in (2023, 2024)
    for month in range(1, 13)
)
"""Starts of the months of one common and one leap year."""


def add_period(instant: datetime, period: str, *, time_zone: str) -> datetime:
    """Return the instant one period after another, in UTC.

    Args:
        instant: Where the period starts; with its time zone.
        period: ISO 8601 text, for example `P1M`, `P10DT12H` or `PT30S`.
        time_zone: IANA name of the calendar that counts, for example `Asia/Tokyo`.

    Raises:
        ProcedureError: The zone or the period cannot be used.
    """
    days, _, clock_time = period.partition("T")
    try:
        local = instant.astimezone(_zone(time_zone))
        if len(days.lstrip("+-")) > 1:
            local = local + isodate.parse_duration(days)
        end: datetime = local.astimezone(UTC)
        return end + _elapsed(clock_time, negative=period.startswith("-"))
    except (isodate.ISO8601Error, ValueError, OverflowError) as error:
        raise ProcedureError(
            f"the period {period} cannot be added to {instant.isoformat()}: {error}. "
            "Use whole years and months, and an end before the year 10000"
        ) from error


def due_at(
    clock: RegimeClock, events: Mapping[str, datetime], *, time_zone: str
) -> datetime | None:
    """Return when a clock is due, or None while its event has not happened.

    Args:
        clock: The clock of the regime.
        events: What has happened so far, by the names clocks start from.
        time_zone: As for `add_period`.
    """
    start = events.get(clock.start)
    return None if start is None else add_period(start, clock.due, time_zone=time_zone)


def exceeds(period: str, limit: str) -> bool:
    """Return whether a period can last longer than a limit, whenever it starts."""
    return any(
        add_period(day, period, time_zone="UTC")
        > add_period(day, limit, time_zone="UTC")
        for day in _CALENDAR
    )


def is_positive(period: str) -> bool:
    """Return whether a period ends after it starts."""
    return add_period(_CALENDAR[0], period, time_zone="UTC") > _CALENDAR[0]


def _elapsed(clock_time: str, *, negative: bool) -> timedelta:
    if not clock_time:
        return timedelta()
    length: timedelta = isodate.parse_duration(f"PT{clock_time}")
    return -length if negative else length


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ProcedureError(
            f"there is no time zone {name!r}; write an IANA name such as Asia/Tokyo"
        ) from error
