"""Evidence that is missing, as findings take it in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox.findings import completeness_limits, missing_units
from sandbox.findings.missing import MOST_MISSING
from sandbox.model.observation import Observation
from sandbox.model.segment import Completeness, ProducerCompleteness

AT = datetime(2026, 1, 1, tzinfo=UTC)


def found(*producers: ProducerCompleteness) -> Completeness:
    return Completeness(trial_id="t", producers=producers)


def producer(name: str = "p", **figures: Any) -> ProducerCompleteness:
    return ProducerCompleteness.model_validate(
        {"producer": name, "spans": 10} | figures
    )


def unit(rule: str, segment: int, frame: int) -> Observation:
    return Observation(
        trial_id="t",
        rule=rule,
        result="satisfied",
        rulebook_version=1,
        trace_id="0" * 32,
        span_id="0" * 16,
        started_at=AT,
        duration_s=1,
        segment=segment,
        frame=frame,
    )


def test_every_span_lost_by_a_producer_of_units_may_have_been_one() -> None:
    """Per rule, of the producers of its units only; each producer counts once."""
    known = found(
        producer("front", holes=3, dropped=5), producer("back", holes=4), producer("x")
    )
    senders = {(1, 0): "front", (1, 1): "back", (2, 0): "x"}
    units = [
        unit("a", 1, 0),
        unit("a", 1, 0),
        unit("b", 1, 0),
        unit("b", 1, 1),
        unit("c", 2, 0),
    ]
    assert missing_units(units, known, senders) == {"a": 5, "b": 9}


def test_numbers_and_counters_are_not_added_up() -> None:
    """Both can speak of the same spans, so the larger one counts."""
    assert producer(holes=3, dropped=5).lost == 5
    assert producer(holes=7, dropped=5).lost == 7
    assert producer(holes=7).lost == 7


def test_a_number_beyond_reason_stays_within_what_can_be_judged() -> None:
    """A producer cannot break the judgement with a number it made up."""
    known = found(producer(holes=2**62))
    assert missing_units([unit("a", 1, 0)], known, {(1, 0): "p"}) == {"a": MOST_MISSING}


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({}, ["p does not number its spans and sends no counters"]),
        ({"numbered": 4}, ["p did not number 6 of 10 spans and sends no counters"]),
        ({"dropped": 0}, ["p does not number its spans; how many were lost rests"]),
        ({"numbered": 10}, ["known up to the last that came, and not beyond it"]),
        ({"numbered": 10, "dropped": 0}, []),
        ({"numbered": 10, "dropped": 0, "exact": False}, ["not counted exactly"]),
        ({"spans": 0}, []),
    ],
)
def test_what_is_not_known_is_said(figures: dict[str, Any], said: list[str]) -> None:
    """Absence of numbers is never taken for completeness."""
    limits = completeness_limits(found(producer(**figures)))
    assert len(limits) == len(said)
    assert all(part in limit for part, limit in zip(said, limits, strict=True))
