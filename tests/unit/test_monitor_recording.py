"""The recorder is on: a hiccup means nothing, an outage pauses the trial."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sandbox.model.segment import RecorderHealth
from sandbox.monitor import RECORDER_ON, off_since, outage

AT = datetime(2026, 1, 1, tzinfo=UTC)
WELL = RecorderHealth(is_well=True)
SILENT = RecorderHealth(is_well=False, cause="it does not answer")


def after(seconds: float) -> datetime:
    """Return an instant so many seconds after the beginning."""
    return AT + timedelta(seconds=seconds)


def test_time_counts_from_the_first_notice() -> None:
    """Until it is well again; then from the next."""
    since = off_since(None, SILENT, now=AT)
    assert since == AT
    assert off_since(since, SILENT, now=after(5)) == AT
    assert off_since(since, WELL, now=after(6)) is None
    assert off_since(None, SILENT, now=after(7)) == after(7)


def test_the_recorder_knows_better_since_when() -> None:
    """What it says of its own past counts, if that is longer ago."""
    failing = RecorderHealth(is_well=False, cause="no space", since=AT)
    assert off_since(None, failing, now=after(9)) == AT
    later = failing.model_copy(update={"since": after(8)})
    assert off_since(AT, later, now=after(9)) == AT


def test_only_more_than_the_limit_pauses() -> None:
    """At the limit nothing happens; beyond it the cause is said in words."""
    limit = {"since": AT, "limit_s": 3.0}
    assert outage("t", WELL, since=None, now=after(9), limit_s=3) is None
    assert outage("t", SILENT, now=after(3), **limit) is None
    found = outage("t", SILENT, now=after(3.1), **limit)
    assert found is not None
    assert (found.condition, found.since, found.limit_s) == (RECORDER_ON, AT, 3)
    assert found.cause.endswith("since 2026-01-01T00:00:00+00:00: it does not answer")
