"""What every `Clock` promises, and what the fixed one promises besides."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest

from sandbox.adapters.clock import SystemClock
from sandbox.errors import InputError
from sandbox.ports import Clock
from sandbox.testing.clock import FixedClock

AT = datetime(2026, 3, 1, 9, tzinfo=UTC)


@pytest.fixture(name="clock", params=[FixedClock, SystemClock])
def _clock(request: pytest.FixtureRequest) -> Clock:
    clock: Clock = request.param()
    return clock


def test_utc(clock: Clock) -> None:
    """A clock tells UTC."""
    assert clock.now().utcoffset() == timedelta(0)


def test_order(clock: Clock) -> None:
    """Of two readings the second is not earlier."""
    first, second = clock.now(), clock.now()
    assert first <= second


def test_this_machine() -> None:
    """The system clock tells the time of this machine."""
    before = datetime.fromtimestamp(time.time(), tz=UTC)
    assert abs(SystemClock().now() - before) < timedelta(seconds=5)


def test_stands_still() -> None:
    """A fixed clock stands still until it is advanced or set, forwards or back."""
    clock = FixedClock(AT)
    assert clock.now() == clock.now() == AT
    assert clock.advance(1.5) == clock.now() == AT + timedelta(seconds=1.5)
    clock.set(AT - timedelta(days=1))
    assert clock.now() == AT - timedelta(days=1)


def test_other_zone() -> None:
    """A fixed clock set in another time zone tells the same instant in UTC."""
    tokyo = timezone(timedelta(hours=9))
    clock = FixedClock(AT.astimezone(tokyo))
    assert clock.now() == AT
    assert clock.now().tzinfo is UTC


def test_no_zone() -> None:
    """An instant without a time zone is refused, and the clock stays where it was."""
    clock = FixedClock(AT)
    with pytest.raises(InputError, match="no time zone"):
        clock.set(AT.replace(tzinfo=None))
    assert clock.now() == AT
