"""Asking two engines, and answering only where they agree.

Rules of this module:

* Everything of an answer is compared: each span with its place, events, links and
  verdicts, whether there are more, and the segments searched.
* A number, a truth value and a number with a fraction are three things in a span: 1 is
  neither true nor 1.0.
* The first difference is named: the span, the field, and what each engine says.
* Rows of SQL are compared value by value in the order in which they come. Names of
  columns are not: engines call an expression without a name differently.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pydantic import JsonValue
from pydantic_core import to_jsonable_python

from sandbox.errors import EvidenceError
from sandbox.model.record import Record
from sandbox.model.trace import (
    RecordedSpan,
    SegmentDigest,
    SpanAnswer,
    SpanQuestion,
    SqlAnswer,
)
from sandbox.ports import Spans

_FRAME = ("more", "evidence", "unsealed", "erased")
_NOTHING = "nothing"
Evidence = tuple[SegmentDigest, ...]
Answer = TypeVar("Answer", SpanAnswer, SqlAnswer)


def ask_both(first: Spans, second: Spans) -> Spans:
    """Return what asks two engines every question.

    It raises `EvidenceError` naming the first difference, unless they agree; its
    answers are the first engine's, and name both.
    """
    return _Both(first, second)


def checked_by(spans: Spans, check: Callable[[str], Evidence]) -> Spans:
    """Return what answers as an engine does, once its evidence was checked.

    Args:
        spans: The engine.
        check: Checks a trial's evidence and returns what it checked; raises
            `EvidenceError` where something is wrong.
    """
    return _Checked(spans, check)


class _Checked:
    """An engine whose every answer is preceded by a check of the same segments."""

    def __init__(self, spans: Spans, check: Callable[[str], Evidence]) -> None:
        self._spans = spans
        self._check = check

    def search(self, trial_id: str, question: SpanQuestion) -> SpanAnswer:
        """Return the spans for which everything asked holds, by start."""
        known = self._check(trial_id)
        return _of(known, self._spans.search(trial_id, question))

    def trace(self, trial_id: str, trace_id: str) -> SpanAnswer:
        """Return every recorded span of one trace."""
        known = self._check(trial_id)
        return _of(known, self._spans.trace(trial_id, trace_id))

    def sql(self, trial_id: str, statement: str, *, limit: int = 1000) -> SqlAnswer:
        """Run one reading statement over the view `spans` of the trial."""
        known = self._check(trial_id)
        return _of(known, self._spans.sql(trial_id, statement, limit=limit))


def _of(known: Evidence, answer: Answer) -> Answer:
    if answer.evidence != known:
        raise EvidenceError(
            f"segments of trial {answer.trial_id} were sealed or erased between check "
            "and answer; ask again",
            retryable=True,
        )
    return answer


class _Both:
    """Two engines that must agree."""

    def __init__(self, first: Spans, second: Spans) -> None:
        self._first = first
        self._second = second

    def search(self, trial_id: str, question: SpanQuestion) -> SpanAnswer:
        """Return the spans on which both agree."""
        first = self._first.search(trial_id, question)
        return _agreed(first, self._second.search(trial_id, question))

    def trace(self, trial_id: str, trace_id: str) -> SpanAnswer:
        """Return every recorded span of one trace, if both have the same."""
        first = self._first.trace(trial_id, trace_id)
        return _agreed(first, self._second.trace(trial_id, trace_id))

    def sql(self, trial_id: str, statement: str, *, limit: int = 1000) -> SqlAnswer:
        """Return the rows on which both agree, under the first engine's names."""
        first = self._first.sql(trial_id, statement, limit=limit)
        second = self._second.sql(trial_id, statement, limit=limit)
        return _agreed_rows(first, second)


def _agreed(first: SpanAnswer, second: SpanAnswer) -> SpanAnswer:
    engines = (first.engine, second.engine)
    for number in range(max(len(first.spans), len(second.spans))):
        one, other = _at(first.spans, number), _at(second.spans, number)
        if _differ(one, other):
            raise _difference(engines, *_of_spans(number, one, other))
    for field in _FRAME:
        one, other = getattr(first, field), getattr(second, field)
        if one != other:
            raise _difference(engines, f"`{field}` of the answer", one, other)
    return first.model_copy(update={"engine": _both(engines)})


def _agreed_rows(first: SqlAnswer, second: SqlAnswer) -> SqlAnswer:
    engines = (first.engine, second.engine)
    if len(first.columns) != len(second.columns):
        raise _difference(engines, "the columns", first.columns, second.columns)
    for number in range(max(len(first.rows), len(second.rows))):
        one, other = _row(first.rows, number), _row(second.rows, number)
        if not _same(one, other):
            what = f"row {number + 1} (rows come in any order without ORDER BY)"
            raise _difference(engines, what, one, other)
    for field in _FRAME:
        one, other = getattr(first, field), getattr(second, field)
        if one != other:
            raise _difference(engines, f"`{field}` of the answer", one, other)
    return first.model_copy(update={"engine": _both(engines)})


def _of_spans(
    number: int, one: RecordedSpan | None, other: RecordedSpan | None
) -> tuple[str, Any, Any]:
    if one is None or other is None:
        return f"span {number + 1} of the answer", _named(one), _named(other)
    if _place(one) != _place(other):
        return f"span {number + 1} of the answer", _named(one), _named(other)
    field, left, right = _first_field(one, other)
    return f"`{field}` of {_named(one)}", left, right


def _first_field(one: Record, other: Record, before: str = "") -> tuple[str, Any, Any]:
    for name in type(one).model_fields:
        left, right = getattr(one, name), getattr(other, name)
        if not _differ(left, right):
            continue
        if isinstance(left, Record) and isinstance(right, Record):
            return _first_field(left, right, f"{before}{name}.")
        return before + name, left, right
    raise AssertionError("records that differ differ in a field")


def _differ(one: object, other: object) -> bool:
    """Return whether two parts of an answer differ in value or in type."""
    texts = [
        json.dumps(to_jsonable_python(item), sort_keys=True) for item in (one, other)
    ]
    return texts[0] != texts[1]


def _place(item: RecordedSpan) -> tuple[int, int, int]:
    return item.segment, item.frame, item.number


def _named(item: RecordedSpan | None) -> str:
    if item is None:
        return _NOTHING
    place = f"segment {item.segment}, frame {item.frame}, number {item.number}"
    return f"span {item.span.span_id} ({place})"


def _at(spans: Sequence[RecordedSpan], number: int) -> RecordedSpan | None:
    return spans[number] if number < len(spans) else None


def _row(
    rows: Sequence[tuple[JsonValue, ...]], number: int
) -> tuple[JsonValue, ...] | None:
    return rows[number] if number < len(rows) else None


def _same(one: Any, other: Any) -> bool:
    """Return whether two JSON values are equal; true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        pairs = zip(one, other, strict=False)
        return len(one) == len(other) and all(_same(*pair) for pair in pairs)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(
            _same(value, other[key]) for key, value in one.items()
        )
    return bool(one == other)


def _both(engines: tuple[str, str]) -> str:
    return " and ".join(engines)


def _difference(
    engines: tuple[str, str], what: str, one: object, other: object
) -> EvidenceError:
    return EvidenceError(
        f"two engines do not agree on {what}: {engines[0]} says {one!r}, {engines[1]} "
        f"says {other!r}; neither answer may be used. Remove the folder of derived "
        "files, ask again, and report the question if they still differ"
    )
