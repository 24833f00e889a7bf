"""Lawful deadlines in civil time."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import ProcedureError
from sandbox.model.regime import RegimeClock
from sandbox.procedure import add_period, due_at, exceeds


def at(text):
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("start", "period", "zone", "end"),
    [
        ("2026-01-31T12:00+09:00", "P1M", "Asia/Tokyo", "2026-02-28T12:00+09:00"),
        ("2028-01-31T12:00+09:00", "P1M", "Asia/Tokyo", "2028-02-29T12:00+09:00"),
        ("2026-03-01T00:00+00:00", "P1Y", "UTC", "2027-03-01T00:00+00:00"),
        ("2026-11-30T09:00+09:00", "P3M", "Asia/Tokyo", "2027-02-28T09:00+09:00"),
        ("2026-04-01T00:00+00:00", "PT30S", "UTC", "2026-04-01T00:00:30+00:00"),
        ("2026-04-01T00:00+00:00", "P2W", "UTC", "2026-04-15T00:00+00:00"),
        ("2026-04-01T00:00+00:00", "P1DT12H", "UTC", "2026-04-02T12:00+00:00"),
        # the clocks go forward in Berlin on 29 March 2026
        ("2026-03-28T12:00+01:00", "P1D", "Europe/Berlin", "2026-03-29T12:00+02:00"),
        ("2026-03-28T12:00+01:00", "PT24H", "Europe/Berlin", "2026-03-29T13:00+02:00"),
        # a month is counted where the regime is, not where the server is
        ("2026-01-30T23:00+00:00", "P1M", "Asia/Tokyo", "2026-02-28T08:00+09:00"),
    ],
)
def test_periods_are_counted_on_the_wall_calendar(start, period, zone, end):
    """Months end at the last day, days keep the hour, hours are elapsed time."""
    assert add_period(at(start), period, time_zone=zone) == at(end)


def test_a_clock_is_due_from_its_event_and_not_before():
    """Without the event there is no deadline."""
    clock = RegimeClock.model_validate(
        {
            "id": "decision",
            "from": "admitted",
            "due": "P1M",
            "owner": "approver",
            "on_miss": "escalate",
            "source": "Art. 9(4)",
        }
    )
    events = {"submitted": at("2026-01-01T00:00+09:00")}
    assert due_at(clock, events, time_zone="Asia/Tokyo") is None
    events["admitted"] = at("2026-01-31T00:00+09:00")
    due = due_at(clock, events, time_zone="Asia/Tokyo")
    assert due == at("2026-02-28T00:00+09:00")


@pytest.mark.parametrize(
    ("period", "limit", "longer"),
    [
        ("P3M", "P90D", True),
        ("P90D", "P3M", True),
        ("P89D", "P3M", False),
        ("P3M", "P3M", False),
        ("PT10M1S", "PT10M", True),
        ("P12M", "P1Y", False),
    ],
)
def test_a_period_exceeds_a_limit_if_it_can(period, limit, longer):
    """Three months may be 89 to 92 days; what can be too long is too long."""
    assert exceeds(period, limit) is longer


def test_an_unknown_time_zone_is_named():
    """A misspelt zone is not taken for UTC."""
    with pytest.raises(ProcedureError, match="Asia/Tokio"):
        add_period(at("2026-01-01T00:00+00:00"), "P1D", time_zone="Asia/Tokio")


@pytest.mark.parametrize("period", ["P0.5M", "P9999Y", "P1,5Y"])
def test_a_period_that_cannot_be_counted_is_refused(period):
    """Half a month is nobody's deadline, and the calendar has an end."""
    with pytest.raises(ProcedureError, match="cannot be added"):
        add_period(at("2026-01-01T00:00+00:00"), period, time_zone="UTC")


@given(
    st.datetimes(
        min_value=datetime(1990, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
        max_value=datetime(2090, 1, 1),  # noqa: DTZ001
        timezones=st.just(UTC),
    ),
    st.integers(0, 40),
    st.integers(0, 500),
    st.sampled_from(["Asia/Tokyo", "Europe/Berlin", "America/New_York", "UTC"]),
)
def test_more_time_never_ends_earlier(start, months, seconds, zone):
    """One more month, or one more second, is never sooner."""
    period = f"P{months}MT{seconds}S"
    longer = (f"P{months + 1}MT{seconds}S", f"P{months}MT{seconds + 1}S")
    end = add_period(start, period, time_zone=zone)
    assert all(add_period(start, item, time_zone=zone) > end for item in longer)
