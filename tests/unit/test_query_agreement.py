"""Two engines asked as one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox.errors import EvidenceError
from sandbox.model.observation import Span
from sandbox.model.record import digest_of
from sandbox.model.trace import (
    RecordedSpan,
    SegmentDigest,
    SpanAnswer,
    SpanEvent,
    SpanQuestion,
    SqlAnswer,
)
from sandbox.query import ask_both, checked_by

AT = datetime(2026, 1, 1, tzinfo=UTC)
EVIDENCE = (SegmentDigest(number=1, raw_digest=digest_of(b"x")),)


def _span(number: int, **fields: Any) -> RecordedSpan:
    span = Span(
        trace_id="0" * 32,
        span_id=f"{number:016x}",
        parent_span_id="",
        name=fields.pop("name", "a"),
        span_kind="server",
        service="api",
        start_unix_nano=1,
        end_unix_nano=2,
        status="unset",
        attributes=fields.pop("attributes", {}),
        resource={},
    )
    place = {"segment": 1, "frame": 0, "number": number}
    return RecordedSpan(span=span, producer="p", received_at=AT, **place | fields)


class Engine:
    """Answers what it was told to."""

    def __init__(self, name: str, **answer: Any) -> None:
        self.name = name
        self.answer = answer

    def search(self, trial_id: str, question: SpanQuestion) -> SpanAnswer:
        return self.trace(trial_id, "")

    def trace(self, trial_id: str, trace_id: str) -> SpanAnswer:
        empty = {"spans": (), "more": False, "evidence": ()}
        whole = {**empty, **self.answer}
        return SpanAnswer(trial_id=trial_id, engine=self.name, **whole)

    def sql(self, trial_id: str, statement: str, *, limit: int = 1000) -> SqlAnswer:
        empty = {"columns": ("n",), "rows": (), "more": False, "evidence": ()}
        return SqlAnswer(
            trial_id=trial_id,
            statement=statement,
            engine=self.name,
            **{**empty, **self.answer},
        )


def test_agreed() -> None:
    """Where both agree, the answer is theirs and names both."""
    spans = (_span(0), _span(1))
    both = ask_both(Engine("one 1", spans=spans), Engine("two 2", spans=spans))
    for answer in (both.search("t", SpanQuestion()), both.trace("t", "0" * 32)):
        assert (answer.spans, answer.engine) == (spans, "one 1 and two 2")


def test_the_order_of_attributes_is_no_difference() -> None:
    """Attributes are a set of names; engines give them in any order."""
    one, other = (
        _span(0, attributes={"a": 1, "b": 2}),
        _span(0, attributes={"b": 2, "a": 1}),
    )
    both = ask_both(Engine("one", spans=(one,)), Engine("two", spans=(other,)))
    assert both.search("t", SpanQuestion()).spans == (one,)


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        ({"name": "a"}, {"name": "b"}, r"`span.name` of span 0+ .*'a', two says 'b'"),
        (
            {"attributes": {"k": 1}},
            {"attributes": {"k": 2}},
            r"`span.attributes` .*one says \{'k': 1\}, two says \{'k': 2\}",
        ),
        (
            {"attributes": {"k": 1}},
            {"attributes": {"k": True}},
            r"`span.attributes` .*one says \{'k': 1\}, two says \{'k': True\}",
        ),
        (
            {"attributes": {"k": [1]}},
            {"attributes": {"k": [1.0]}},
            r"`span.attributes` .*\[1\].*\[1\.0\]",
        ),
        (
            {"events": (SpanEvent(name="e", unix_nano=1, attributes={"k": 0}),)},
            {"events": (SpanEvent(name="e", unix_nano=1, attributes={"k": False}),)},
            "`events` of span .*two says .*False",
        ),
        ({"scope": "x"}, {"scope": "y"}, "`scope` of span .*segment 1, frame 0"),
        ({"frame": 0}, {"frame": 1}, "span 1 of the answer: .*frame 0.*frame 1"),
    ],
)
def test_first_difference(
    one: dict[str, Any], other: dict[str, Any], words: str
) -> None:
    """A difference is named by span, field and both values."""
    both = ask_both(
        Engine("one", spans=(_span(0, **one), _span(1))),
        Engine("two", spans=(_span(0, **other), _span(2))),
    )
    with pytest.raises(EvidenceError, match=words):
        both.search("t", SpanQuestion())


def test_a_missing_span() -> None:
    """A span that only one engine finds is a difference, whichever it is."""
    few, many = (
        Engine("one", spans=(_span(0),)),
        Engine("two", spans=(_span(0), _span(1))),
    )
    for first, second in ((few, many), (many, few)):
        with pytest.raises(EvidenceError, match="span 2 of the answer.*'nothing'"):
            ask_both(first, second).trace("t", "0" * 32)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("more", True),
        ("unsealed", 1),
        ("erased", 1),
        ("evidence", EVIDENCE),
    ],
)
def test_what_was_searched(field: str, value: Any) -> None:
    """Engines must also agree on what they searched, and whether there is more."""
    both = ask_both(Engine("one"), Engine("two", **{field: value}))
    for ask in (
        lambda: both.search("t", SpanQuestion()),
        lambda: both.sql("t", "SELECT 1"),
    ):
        with pytest.raises(EvidenceError, match=f"`{field}` of the answer"):
            ask()


def test_rows_of_sql() -> None:
    """Rows are compared value by value; names of columns are not."""
    rows = ((1, 2.0, [None, {"k": "v"}]),)
    first = Engine("one", columns=("a", "b", "c"), rows=rows)
    second = Engine("two", columns=("x", "y", "z"), rows=((1, 2, [None, {"k": "v"}]),))
    answer = ask_both(first, second).sql("t", "SELECT 1")
    assert (answer.columns, answer.engine) == (("a", "b", "c"), "one and two")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (((1,),), ((2,),)),
        (((1,),), ((True,),)),
        (((0,),), ((False,),)),
        (((1,),), (("1",),)),
        (((1,),), ()),
        (((None,),), (("",),)),
        ((([1, 2],),), (([1],),)),
        ((({"k": 1},),), (({"k": True},),)),
        ((({"k": 1},),), (({},),)),
    ],
)
def test_rows_that_differ(one: Any, other: Any) -> None:
    """Values of another type or shape differ, and the row is named."""
    both = ask_both(Engine("one", rows=one), Engine("two", rows=other))
    with pytest.raises(EvidenceError, match="row 1 .*ORDER BY"):
        both.sql("t", "SELECT 1")


def test_columns_that_differ() -> None:
    """Rows of different width are no agreement."""
    both = ask_both(Engine("one"), Engine("two", columns=("a", "b")))
    with pytest.raises(EvidenceError, match="the columns"):
        both.sql("t", "SELECT 1")


def test_checked_first() -> None:
    """An answer is given once its evidence was checked, and not if that fails."""
    asked: list[str] = []

    def check(trial_id: str) -> tuple[SegmentDigest, ...]:
        asked.append(trial_id)
        if trial_id == "bad":
            raise EvidenceError("segment 1 differs")
        return EVIDENCE

    spans = checked_by(Engine("one", evidence=EVIDENCE), check)
    assert spans.search("t", SpanQuestion()).engine == "one"
    assert spans.trace("t", "0" * 32).engine == "one"
    assert spans.sql("t", "SELECT 1").engine == "one"
    assert asked == ["t"] * 3
    for ask in (
        lambda: spans.search("bad", SpanQuestion()),
        lambda: spans.trace("bad", "0" * 32),
        lambda: spans.sql("bad", "SELECT 1"),
    ):
        with pytest.raises(EvidenceError, match="segment 1 differs"):
            ask()


def test_checked_otherwise() -> None:
    """What was checked must be what was searched."""
    spans = checked_by(Engine("one", evidence=EVIDENCE), lambda _: ())
    with pytest.raises(EvidenceError, match="ask again") as caught:
        spans.search("t", SpanQuestion())
    assert caught.value.retryable
