"""From the options of a search to a question."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sandbox.errors import InputError
from sandbox.model.application import Defect
from sandbox.model.trace import AttributeTest, SpanQuestion
from sandbox.testing.traces import recorded_span
from workflows.cli.asking import Asked, read_question


def defects(asked: Asked) -> list[tuple[str, str]]:
    """Return the option and the sentence of everything that is wrong."""
    with pytest.raises(InputError) as caught:
        read_question(asked)
    found = [item for item in caught.value.defects if isinstance(item, Defect)]
    return [(item.field, item.sentence()) for item in found]


def test_nothing_asked() -> None:
    """Without options the question is about any span, twenty of them."""
    assert read_question(Asked()) == SpanQuestion()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("http.status_code=200", 200),
        ("http.status_code=200.0", 200.0),
        ('http.status_code="200"', "200"),
        ("http.status_code=GET", "GET"),
        ("http.status_code=true", True),
        ("http.status_code=a=b", "a=b"),
        ("http.status_code=", ""),
        ("http.status_code=NaN", "NaN"),
        ("http.status_code", None),
    ],
)
def test_values_keep_their_type(text: str, value: object) -> None:
    """What is JSON has its type; what is not is text as it stands."""
    (found,) = read_question(Asked(attributes=(text,))).attributes
    assert found == AttributeTest.model_construct(key="http.status_code", value=value)
    assert type(found.value) is type(value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("1.5s", 1.5), ("2min", 120), ("7µs", 7e-6), ("PT1.5S", 1.5)],
)
def test_durations(text: str, seconds: float) -> None:
    """A number with a unit, or an ISO 8601 period, is so many seconds."""
    assert read_question(Asked(min_duration=text)).min_duration_s == seconds


@pytest.mark.parametrize(
    ("unit", "nanos"),
    [("ns", 1), ("us", 10**3), ("µs", 10**3), ("ms", 10**6), ("s", 10**9)],
)
def test_a_bound_is_the_duration_of_a_span(unit: str, nanos: int) -> None:
    """A span that took exactly as long as is written is neither below nor above it."""
    for number in range(1, 1001):
        asked = read_question(Asked(min_duration=f"{number}{unit}"))
        times = {"start_unix_nano": 0, "end_unix_nano": number * nanos}
        took = recorded_span("1", **times).span.duration_s
        assert asked.min_duration_s == took, f"{number}{unit}"


@pytest.mark.parametrize(("digits", "nanos"), [(3, 10**6), (6, 10**3)])
def test_a_bound_as_an_iso_period(digits: int, nanos: int) -> None:
    """The same holds where the bound is written as a fraction of seconds."""
    for number in range(1, 1001):
        text = f"{number / 10**digits:.{digits}f}"
        took = number * nanos / 1e9
        assert read_question(Asked(min_duration=f"PT{text}S")).min_duration_s == took
        assert read_question(Asked(min_duration=f"{text}s")).min_duration_s == took


def test_everything_at_once() -> None:
    """Every option has its place in the question."""
    asked = Asked(
        service="driver",
        operation="GET",
        min_duration="1ms",
        max_duration="PT1M",
        attributes=("a=1", "b"),
        rule="dispatch/offer-time",
        result="not-evaluable",
        since="2026-01-01T00:00:00Z",
        until="2026-01-02T01:00:00+01:00",
        limit=5,
    )
    assert read_question(asked) == SpanQuestion(
        service="driver",
        operation="GET",
        min_duration_s=0.001,
        max_duration_s=60,
        attributes=(AttributeTest(key="a", value=1), AttributeTest(key="b")),
        rule="dispatch/offer-time",
        result="not_evaluable",
        since=datetime(2026, 1, 1, tzinfo=UTC),
        until=datetime(2026, 1, 2, tzinfo=UTC),
        limit=5,
    )


def test_every_problem_is_said_with_its_place() -> None:
    """Nothing has to be corrected twice."""
    asked = Asked(
        min_duration="soon",
        max_duration="P1M",
        attributes=("=1", "a=null", "b=[1]", "fine=1"),
        result="broken",
        since="yesterday",
        until="2026-01-02T00:00:00",
        limit=0,
    )
    found = defects(asked)
    assert [option for option, _ in found] == [
        "--min-duration",
        "--max-duration",
        "--result",
        "--since",
        "--until",
        "--attribute",
        "--attribute",
        "--attribute",
        "--limit",
    ]
    assert "'soon'" in found[0][1]
    assert "offset" in found[4][1]
    assert all(" is " in sentence or "Input" in sentence for _, sentence in found)


def test_bounds_must_not_cross() -> None:
    """A question nothing can answer is refused."""
    asked = Asked(
        min_duration="2s",
        max_duration="1s",
        since="2026-01-02T00:00:00Z",
        until="2026-01-01T00:00:00Z",
    )
    assert [option for option, _ in defects(asked)] == ["--max-duration", "--until"]
