"""From the options of a search to a question, every problem at once.

Rules of this module:

* A value of `--attribute KEY=VALUE` is read as JSON, so that types are kept: `200` is a
  number, `true` a truth value, `"200"` text. What is not JSON is text as it stands.
* A duration is a number with a unit (`250ms`, `1.5s`) or an ISO 8601 period without
  calendar units (`PT1.5S`). It is the same number of seconds as the duration of a span
  that took exactly so long.
* An instant says its offset from UTC, for example `2026-01-31T09:00:00Z`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar, get_args

import isodate
from pydantic import ValidationError

from sandbox.errors import InputError
from sandbox.model.application import Defect
from sandbox.model.rule import RuleResult
from sandbox.model.trace import AttributeTest, SpanQuestion

T = TypeVar("T")

_UNITS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "min": 60 * 10**9,
    "h": 3600 * 10**9,
}
"""Nanoseconds of each unit."""
_DURATION = re.compile(rf"^(\d+(?:\.\d+)?)({'|'.join(_UNITS)})$")
_ORDERED = (
    ("min_duration_s", "max_duration_s", "--max-duration", "is below --min-duration"),
    ("since", "until", "--until", "is before --since"),
)


class Asked(NamedTuple):
    """The options of a search as they were typed; empty where not given."""

    service: str = ""
    operation: str = ""
    min_duration: str = ""
    max_duration: str = ""
    attributes: tuple[str, ...] = ()
    rule: str = ""
    result: str = ""
    since: str = ""
    until: str = ""
    limit: int = 20


def read_question(asked: Asked) -> SpanQuestion:
    """Return the question the options ask.

    Raises:
        InputError: Options are wrong; every one is named.
    """
    reading = _Reading()
    fields: dict[str, Any] = {
        "service": asked.service,
        "operation": asked.operation,
        "rule": asked.rule,
        "limit": asked.limit,
    }
    typed: tuple[tuple[str, str, str, Callable[[str], object]], ...] = (
        ("min_duration_s", "--min-duration", asked.min_duration, read_duration),
        ("max_duration_s", "--max-duration", asked.max_duration, read_duration),
        ("result", "--result", asked.result, read_result),
        ("since", "--since", asked.since, read_instant),
        ("until", "--until", asked.until, read_instant),
    )
    for field, option, text, read in typed:
        fields[field] = reading.take(option, text, read) if text else None
    tests = [reading.take("--attribute", text, read_test) for text in asked.attributes]
    fields["attributes"] = tuple(item for item in tests if item is not None)
    return reading.question(fields)


class _Reading:
    """Collects what is wrong while options are read."""

    def __init__(self) -> None:
        self._defects: list[Defect] = []

    def take(self, option: str, text: str, read: Callable[[str], T]) -> T | None:
        try:
            return read(text)
        except ValueError as error:
            self._note(option, f"is {text!r}, which {error.args[0]}", error.args[1])
            return None

    def question(self, fields: dict[str, Any]) -> SpanQuestion:
        """Return the question, if nothing is wrong.

        Raises:
            InputError: Something is; carries every `Defect`.
        """
        for low, high, option, what in _ORDERED:
            first, last = fields[low], fields[high]
            if first is not None and last is not None and last < first:
                self._note(option, what, "Exchange them")
        try:
            question = SpanQuestion(**fields)
        except ValidationError as error:
            for item in error.errors():
                option = f"--{str(item['loc'][0]).replace('_', '-')}"
                self._note(option, item["msg"], "Give another value")
        if self._defects:
            raise InputError(self._defects)
        return question

    def _note(self, option: str, what: str, remedy: str) -> None:
        self._defects.append(
            Defect(code="search/option", what=what, remedy=remedy, field=option)
        )


def read_duration(text: str) -> float:
    """Return a length of time in seconds.

    Raises:
        ValueError: It is none; says why, and what to write.
    """
    if match := _DURATION.match(text):
        # Nanoseconds first, then one division: as `Span.duration_s` is computed.
        return float(Decimal(match[1]) * _UNITS[match[2]]) / 1e9
    try:
        found = isodate.parse_duration(text)
    except (isodate.ISO8601Error, ValueError):
        found = None
    if not isinstance(found, timedelta) or found < timedelta():
        raise ValueError("is no length of time", "Write for example 250ms, 1.5s, PT2M")
    return found.total_seconds()


def read_instant(text: str) -> datetime:
    """Return a point in time.

    Raises:
        ValueError: It is none, or leaves open in which zone; says what to write.
    """
    remedy = "Write for example 2026-01-31T09:00:00Z"
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("is no date with a time", remedy) from None
    if found.tzinfo is None:
        raise ValueError("does not say its offset from UTC", remedy)
    return found


def read_result(text: str) -> str:
    """Return a rule result.

    Raises:
        ValueError: It is none; says which there are.
    """
    word = text.replace("-", "_")
    if word not in get_args(RuleResult):
        known = ", ".join(get_args(RuleResult))
        raise ValueError("no rule can say", f"Write one of {known}")
    return word


def read_test(text: str) -> AttributeTest:
    """Return the test of an attribute: `KEY` asks that it is there, `KEY=VALUE` more.

    Raises:
        ValueError: There is no key, or the value has no single type.
    """
    key, separator, value = text.partition("=")
    if not key:
        raise ValueError("has no key", "Write KEY=VALUE, or KEY alone")
    if not separator:
        return AttributeTest(key=key)
    found = _value(value)
    if found is None or isinstance(found, list | dict):
        raise ValueError(
            "compares with something that is not one value",
            "Write text, a number, true or false; KEY alone asks that it is there",
        )
    return AttributeTest(key=key, value=found)


def _value(text: str) -> Any:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    # JSON knows no NaN and no infinity; Python's reader does.
    infinite = isinstance(found, float) and not math.isfinite(found)
    return text if infinite else found
