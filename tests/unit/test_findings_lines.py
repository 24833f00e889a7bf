"""The line of an observation is its canonical JSON, whatever it holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sandbox.findings.lines import canonical_line
from sandbox.model.observation import Observation
from sandbox.model.record import canonical_json

AT = datetime(2026, 1, 1, tzinfo=UTC)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
INSTANTS = st.datetimes(
    min_value=datetime(1700, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    max_value=datetime(2300, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    timezones=st.sampled_from((UTC, timezone(timedelta(hours=9)))),
)


def line_or_refusal(write, unit):
    try:
        return write(unit)
    except ValueError as error:
        return type(error)


def observation(values, duration=0.5, at=AT, reason=""):
    return Observation(
        trial_id="trial-1",
        rule="dispatch/offer-time",
        result="satisfied",
        rulebook_version=1,
        trace_id="1e5" + "0" * 29,
        span_id="0" * 16,
        started_at=at,
        duration_s=duration,
        values=values,
        reason=reason,
        segment=0,
        frame=1,
    )


@given(st.dictionaries(st.text(), VALUES), st.floats(), INSTANTS, st.text())
@example({"a": 5e-5, "b": 1e16, "c": -1e-7, "d": 1e22}, 0.0, AT, "")
@example({"a": float("nan")}, 0.5, AT, "")
@example({}, float("inf"), AT, "")
@example({"a": 2**70, "é\u2028\x7f": ["\x00", "\ud800", -0.0]}, 0.5, AT, ",1e5")
def test_the_line_is_the_canonical_json(values, duration, at, reason):
    """Exponents, huge numbers, control characters, zones: not one byte differs."""
    unit = observation(values, duration, at, reason)
    assert line_or_refusal(canonical_line, unit) == line_or_refusal(
        canonical_json, unit
    )


@pytest.mark.parametrize("values", [{"a": float("nan")}, {"a": [float("-inf")]}])
def test_a_number_that_json_does_not_know_is_refused(values):
    """NaN never becomes null: a digest stands for what was seen or for nothing."""
    with pytest.raises(ValueError, match="JSON"):
        canonical_line(observation(values))
