"""A question about spans as a condition in SQL, for one derived file.

Rules of this module:

* Text of the question never becomes SQL: a dialect binds every value.
* A condition has three outcomes in SQL and two here: it is written so that NULL means
  the same as false, and nothing is negated.
* A comparison holds between equal types only. NaN is equal to nothing.
* What cannot be in a file, by what the file says of itself, is false without looking.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol

from sandbox.model.instants import unix_nano_of
from sandbox.model.trace import AttributeTest, SpanQuestion
from sandbox.query.columns import KINDS, SCOPES, Kind, Place, map_name, rule_column
from sandbox.query.origin import Origin

FALSE = "FALSE"
_INT64 = range(-(2**63), 2**63)


class Dialect(Protocol):
    """How one engine writes names, values and maps."""

    def name(self, column: str) -> str:
        """Return a column's name, quoted."""
        ...

    def value(self, value: str | int | float | bool | bytes) -> str:
        """Return what stands for a value; integers above 2**63 are unsigned."""
        ...

    def duration(self) -> str:
        """Return a span's duration in seconds, exact to the nanosecond."""
        ...

    def has(self, column: str, key: str) -> str:
        """Return whether a map has a key."""
        ...

    def holds(self, column: str, key: str, value: Any) -> str:
        """Return whether a map has a key with that value."""
        ...


def condition(question: SpanQuestion, *, origin: Origin, dialect: Dialect) -> str:
    """Return the condition under which a span of a file is an answer.

    Args:
        question: What is asked for.
        origin: What the file says of itself.
        dialect: How the engine writes it.
    """
    parts = list(_plain(question, dialect))
    parts += _times(question, origin, dialect)
    parts += _durations(question, dialect)
    parts += [_attribute(test, origin, dialect) for test in question.attributes]
    parts += _rules(question, origin, dialect)
    if FALSE in parts:
        return FALSE
    return " AND ".join(parts) or "TRUE"


def _plain(question: SpanQuestion, dialect: Dialect) -> Iterator[str]:
    if question.trace_id:
        value = dialect.value(bytes.fromhex(question.trace_id))
        yield f"{dialect.name('trace_id')} = {value}"
    if question.service:
        yield f"{dialect.name('service')} = {dialect.value(question.service)}"
    if question.operation:
        yield f"{dialect.name('name')} = {dialect.value(question.operation)}"


def _times(question: SpanQuestion, origin: Origin, dialect: Dialect) -> Iterator[str]:
    start = dialect.name("start_ns")
    if question.since is not None:
        since = unix_nano_of(question.since)
        if since > origin.last_start_ns:
            yield FALSE
        elif since > origin.first_start_ns:
            yield f"{start} >= {dialect.value(since)}"
    if question.until is not None:
        until = unix_nano_of(question.until)
        if until <= origin.first_start_ns:
            yield FALSE
        elif until <= origin.last_start_ns:
            yield f"{start} < {dialect.value(until)}"


def _durations(question: SpanQuestion, dialect: Dialect) -> Iterator[str]:
    bounds = ((question.min_duration_s, ">="), (question.max_duration_s, "<="))
    for bound, sign in bounds:
        if bound is not None and math.isnan(bound):
            yield FALSE
        elif bound is not None:
            yield f"{dialect.duration()} {sign} {dialect.value(float(bound))}"


def _attribute(test: AttributeTest, origin: Origin, dialect: Dialect) -> str:
    kinds = KINDS if test.value is None else _kinds(test.value)
    places = [
        Place(scope, kind, test.key)
        for scope in SCOPES
        for kind in kinds
        if origin.may_have(scope, kind, test.key)
    ]
    tests = [_at(place, test.value, origin, dialect) for place in places]
    return f"({' OR '.join(tests)})" if tests else FALSE


def _kinds(value: str | int | float | bool) -> tuple[Kind, ...]:
    """Return the type a value is compared in; none, where nothing can be equal."""
    if isinstance(value, str):
        return ("string",)
    if isinstance(value, bool):
        return ("bool",)
    if isinstance(value, int):
        return ("int",) if value in _INT64 else ()
    return () if math.isnan(value) else ("double",)


def _at(place: Place, value: Any, origin: Origin, dialect: Dialect) -> str:
    if place in origin.own:
        own = dialect.name(place.column)
        return (
            f"{own} IS NOT NULL"
            if value is None
            else (f"{own} = {dialect.value(value)}")
        )
    column = map_name(place.scope, place.kind)
    if value is None:
        return dialect.has(column, place.key)
    return dialect.holds(column, place.key, value)


def _rules(question: SpanQuestion, origin: Origin, dialect: Dialect) -> Iterator[str]:
    if not question.rule and question.result is None:
        return
    rules = [rule for rule in origin.rules if question.rule in ("", rule)]
    columns = [dialect.name(rule_column(rule)) for rule in rules]
    if question.result is None:
        tests = [f"{column} IS NOT NULL" for column in columns]
    else:
        tests = [f"{column} = {dialect.value(question.result)}" for column in columns]
    yield f"({' OR '.join(tests)})" if tests else FALSE
