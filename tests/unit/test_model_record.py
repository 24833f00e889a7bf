"""The base of records: canonical JSON, digests, instants, intervals, periods."""

from __future__ import annotations

import hashlib
import importlib
import json
import pkgutil
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

import sandbox.model
from sandbox.model.record import (
    Digest,
    Identifier,
    Instant,
    Interval,
    Period,
    Record,
    TrialId,
    canonical_json,
    digest_of,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOKYO = timezone(timedelta(hours=9))

text = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner),
    max_leaves=12,
)


def accepts(kind: object, value: object) -> bool:
    """Return whether a type accepts a value."""
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


def records() -> list[type[Record]]:
    """Return every record of the model."""
    found = []
    for module in pkgutil.iter_modules(sandbox.model.__path__):
        content = vars(importlib.import_module(f"sandbox.model.{module.name}"))
        found += [
            item
            for item in content.values()
            if isinstance(item, type) and issubclass(item, Record)
        ]
    return sorted(set(found), key=lambda item: item.__name__)


def test_canonical_form() -> None:
    """Keys are sorted at every depth, nothing is spaced, letters stay themselves."""
    data = {"b": [1, {"z": None, "ä": True}], "a": "値 \n", "B": 1.5}
    assert canonical_json(data) == (
        '{"B":1.5,"a":"値 \\n","b":[1,{"z":null,"ä":true}]}'.encode()
    )


@given(data=st.dictionaries(text, values))
def test_canonical_is_json(data: dict[str, object]) -> None:
    """The canonical form reads back as what was written."""
    assert json.loads(canonical_json(data)) == data


@given(data=st.dictionaries(text, values))
def test_canonical_is_one(data: dict[str, object]) -> None:
    """The order in which keys were put in does not show."""
    turned = dict(reversed(list(data.items())))
    assert canonical_json(turned) == canonical_json(data)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_no_canonical_form(number: float) -> None:
    """NaN and the infinities have no canonical form, at any depth."""
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"deep": [{"n": number}]})


def test_digest() -> None:
    """A digest is SHA-256 of the bytes, or of the canonical JSON of anything else."""
    empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert digest_of(b"") == empty
    data = {"b": 1, "a": 2}
    assert digest_of(data) == "sha256:" + hashlib.sha256(b'{"a":2,"b":1}').hexdigest()
    assert accepts(Digest, digest_of(data))


def test_digest_of_record() -> None:
    """Equal records have equal digests, whatever zone their instants came in."""
    first = Interval(start=NOON, end=NOON + timedelta(hours=1))
    second = Interval(start=NOON.astimezone(TOKYO), end=NOON + timedelta(hours=1))
    assert first == second
    assert digest_of(first) == digest_of(second)
    assert digest_of(first) == digest_of(first.model_dump(mode="json"))


@pytest.mark.parametrize(
    "value",
    [
        "sha256:" + "0" * 63,
        "sha256:" + "0" * 65,
        "sha256:" + "A" * 64,
        "sha512:" + "0" * 64,
        "0" * 64,
        "sha256:" + "0" * 64 + "\n",
    ],
)
def test_not_a_digest(value: str) -> None:
    """A digest is `sha256:` and 64 lower-case hexadecimal digits, nothing else."""
    assert not accepts(Digest, value)


@pytest.mark.parametrize("record", records(), ids=lambda item: item.__name__)
def test_every_record(record: type[Record]) -> None:
    """Every record is frozen, closed, and tells each field it has."""
    assert record.model_config["frozen"]
    assert record.model_config["extra"] == "forbid"
    assert record.__doc__


def test_there_are_records() -> None:
    """The records those claims are about are found."""
    assert {"Application", "Decision", "LogEntry"} <= {
        item.__name__ for item in records()
    }


def test_frozen() -> None:
    """A record cannot be changed."""
    interval = Interval(start=NOON, end=NOON + timedelta(hours=1))
    with pytest.raises(ValidationError, match="frozen"):
        interval.end = NOON  # type: ignore[misc]


def test_closed() -> None:
    """A field the record does not have is refused by name."""
    with pytest.raises(ValidationError, match="until"):
        Interval.model_validate(
            {"start": NOON, "end": NOON + timedelta(hours=1), "until": NOON}
        )


def test_instant_in_utc() -> None:
    """An instant written with any offset is kept in UTC."""
    instant = TypeAdapter(Instant).validate_python("2026-03-01T21:00:00+09:00")
    assert instant == NOON
    assert instant.tzinfo is UTC


@pytest.mark.parametrize("value", ["2026-03-01T12:00:00", datetime(2026, 3, 1)])  # noqa: DTZ001
def test_instant_without_zone(value: object) -> None:
    """An instant without a time zone is refused."""
    assert not accepts(Instant, value)


def test_half_open() -> None:
    """The start belongs to an interval, the end does not."""
    interval = Interval(start=NOON, end=NOON + timedelta(seconds=1))
    tick = timedelta(microseconds=1)
    assert interval.holds(NOON)
    assert interval.holds(interval.end - tick)
    assert not interval.holds(interval.end)
    assert not interval.holds(NOON - tick)


@given(first=st.timedeltas(), second=st.timedeltas(), at=st.timedeltas())
def test_neighbours(first: timedelta, second: timedelta, at: timedelta) -> None:
    """Of two intervals that meet, exactly one holds an instant between their ends."""
    day = timedelta(days=1)
    one, two = abs(first) % day + day, abs(second) % day + day
    here = Interval(start=NOON, end=NOON + one)
    there = Interval(start=here.end, end=here.end + two)
    instant = NOON + abs(at) % (one + two)
    assert here.holds(instant) != there.holds(instant)


@pytest.mark.parametrize("length", [timedelta(0), timedelta(seconds=-1)])
def test_empty_interval(length: timedelta) -> None:
    """An interval that ends where it starts, or before, is refused."""
    with pytest.raises(ValidationError, match="give an end after the start"):
        Interval(start=NOON, end=NOON + length)


@pytest.mark.parametrize("value", ["PT30S", "P10D", "P3M", "P1Y2M3DT4H", "PT0.5S"])
def test_period(value: str) -> None:
    """A period is ISO 8601 text and keeps its words: a month stays a month."""
    assert TypeAdapter(Period).validate_python(value) == value


@pytest.mark.parametrize(
    "value", ["P", "", "30s", "10 days", "PT", "P1DT", "-P1D", "+P1D", "P1H", "T5S", 30]
)
def test_not_a_period(value: object) -> None:
    """What is not an ISO 8601 period is refused."""
    assert not accepts(Period, value)


@pytest.mark.parametrize("value", ["a", "ride-1", "0", "a" * 55])
def test_trial_id(value: str) -> None:
    """A trial id makes a namespace: `trial-{id}` is a DNS label (RFC 1123)."""
    assert accepts(TrialId, value)
    assert len(f"trial-{value}") <= 63


@pytest.mark.parametrize(
    "value", ["", "-a", "a-", "A", "a_b", "a.b", "a/b", "a" * 56, "ä", "a\n", "a b"]
)
def test_not_a_trial_id(value: str) -> None:
    """What cannot stand in a DNS label is no trial id."""
    assert not accepts(TrialId, value)


@pytest.mark.parametrize("value", ["dispatch/offer-time", "a", "v1.2_x", "a" * 200])
def test_identifier(value: str) -> None:
    """An identifier may have slashes, dots and hyphens inside."""
    assert accepts(Identifier, value)


@pytest.mark.parametrize("value", ["", "/a", "a/", "A", "a b", "a" * 201, "a\n"])
def test_not_an_identifier(value: str) -> None:
    """An identifier begins and ends with a small letter or a digit."""
    assert not accepts(Identifier, value)
