"""Rules with patterns: what is said of spans together."""

from __future__ import annotations

import random
from typing import Any

import pytest
from pydantic import ValidationError

from sandbox.model.pattern import Pattern
from sandbox.rules import Known, judge_tracks
from sandbox.testing.patterns import SECOND, PlainSpan, reference_results
from sandbox.testing.random_tracks import judged, random_tracks
from sandbox.testing.rules import one_pattern

TRACKS = 600
"""Here; tests/contracts/test_patterns.py judges 20,000, in SQL too."""
LATER = Known(10**6 * SECOND, 3 * SECOND)


def test_agrees_with_the_reference() -> None:
    """On random tracks the results are those of the slow and plain reading."""
    results = set()
    for asked in random_tracks(random.Random(1), TRACKS):
        found = judged(asked)
        for track in asked.tracks:
            wanted = reference_results(asked.pattern, track, asked.known)
            assert {name: found[name] for name in wanted} == wanted, (asked, track)
            results |= set(wanted.values())
    assert results == {"none", "satisfied", "violated", "not_evaluable"}


def outcomes(
    pattern: dict[str, Any], *spans: tuple[float, dict[str, Any]], known: Known = LATER
) -> list[tuple[int, str, str]]:
    """Return (place, result, reason) of units of one trace; starts in seconds."""
    facts = [
        {
            **PlainSpan(f"{place:016x}", "a" * 32, 0, 0, attributes).facts(),
            "start_unix_nano": round(start * SECOND),
        }
        for place, (start, attributes) in enumerate(spans)
    ]
    found = judge_tracks(one_pattern(pattern), facts, known=known)
    return [(item.place, item.outcome.result, item.outcome.reason) for item in found]


DISPATCH: dict[str, Any] = {"is": "dispatch"}
CONFIRMED: dict[str, Any] = {"is": "confirmation"}
CONFIRM_FIRST = {
    "every": 'span.attributes["is"] == "dispatch"',
    "preceded_by": 'span.attributes["is"] == "confirmation"',
    "within": "30s",
}


def test_a_confirmation_comes_first() -> None:
    """A dispatch without a confirmation in the thirty seconds before is a violation."""
    found = outcomes(
        CONFIRM_FIRST, (0, CONFIRMED), (30, DISPATCH), (30.000000001, DISPATCH)
    )
    assert found == [(1, "satisfied", ""), (2, "violated", "")]


def test_what_may_be_missing_is_said() -> None:
    """Where the evidence has a gap the unit is not evaluable, and the gap is named."""
    known = LATER._replace(gaps=((5 * SECOND, 6 * SECOND),))
    ((_, result, reason),) = outcomes(CONFIRM_FIRST, (20, DISPATCH), known=known)
    assert result == "not_evaluable"
    assert "gap from 1970-01-01 00:00:05 to 1970-01-01 00:00:06 UTC" in reason


def test_what_is_still_to_come_is_not_judged() -> None:
    """A notice may follow until its time is over or the trace has ended."""
    pattern = {
        "every": 'span.attributes["is"] == "dispatch"',
        "followed_by": 'span.attributes["is"] == "confirmation"',
        "within": "60s",
    }
    early = Known(2 * SECOND, 3 * SECOND)
    ((_, result, reason),) = outcomes(pattern, (0, DISPATCH), known=early)
    assert (result, "is not over" in reason) == ("not_evaluable", True)
    ended = early._replace(until=3 * SECOND + 1)
    assert outcomes(pattern, (0, DISPATCH), known=ended)[0][1] == "violated"


def test_a_parameter_may_be_the_time_and_the_number() -> None:
    """`params.NAME` is read with the value in force, and is kept with the outcome."""
    parameters = {
        "most": {"unit": "count", "looser": "higher", "values": dated(1)},
        "time": {"unit": "s", "looser": "lower", "values": dated(2.5)},
    }
    pattern = {"at_most": "params.most", "of": "true", "per": "params.time"}
    rules = one_pattern(pattern, parameters=parameters)
    facts = [
        PlainSpan(f"{start:016x}", "a" * 32, start, start).facts()
        for start in (0, 2, 5)
    ]
    found = [item.outcome for item in judge_tracks(rules, facts, known=LATER)]
    assert [item.result for item in found] == ["satisfied", "violated", "satisfied"]
    assert found[1].values == {
        "params.most": 1.0,
        "params.time": 2.5,
        "pattern.count": 2,
    }


def dated(value: float) -> dict[str, Any]:
    return {"1970-01-01": {"value": value, "reference": "Annex"}}


def test_what_a_span_belongs_with_has_a_type() -> None:
    """The text "1", the number 1 and the truth value are three customers."""
    pattern = {
        "at_most": 1,
        "of": "true",
        "per": "1m",
        "same": ["attributes.customer"],
    }
    customers = [1, "1", True, 1, 1.0]
    found = outcomes(pattern, *((n, {"customer": c}) for n, c in enumerate(customers)))
    assert sorted((place, result) for place, result, _ in found) == [
        (0, "satisfied"),
        (1, "satisfied"),
        (2, "satisfied"),
        (3, "violated"),
        (4, "not_evaluable"),
    ]


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ({"every": "true"}, "has no shape; give exactly one of"),
        ({"never": "true", "always": "true"}, "has never and always"),
        ({"at_most": 1, "of": "true"}, "with at_most needs per"),
        ({"never": "true", "within": "1s"}, "with never has within; remove it"),
        ({"every": "a", "preceded_by": "b", "within": "30"}, "not a length of time"),
        ({"at_most": -1, "of": "true", "per": "1s"}, "not a number of times"),
        ({"at_most": True, "of": "true", "per": "1s"}, "valid integer"),
        ({"every": "a", "followed_by": "b", "same": []}, "needs something in `same`"),
        (
            {"never": "true", "same": ["attributes.k"]},
            "where it means nothing; remove same, or add between",
        ),
        (
            {"preceded_by": "", "at_most": 1, "of": "a", "per": "1s"},
            "has preceded_by and at_most",
        ),
        ({"never": "true", "same": ["span.name"]}, "not what spans can have in common"),
        (
            {"every": "a", "followed_by": "b", "same": ["attributes.k"]},
            "only traces end by themselves",
        ),
    ],
)
def test_a_pattern_that_means_nothing_is_refused(
    pattern: dict[str, Any], said: str
) -> None:
    """What is wrong with its shape is said in words."""
    with pytest.raises(ValidationError, match=said):
        Pattern.model_validate(pattern)
