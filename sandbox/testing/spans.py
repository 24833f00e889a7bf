"""The obvious reference for questions about spans: every frame read, every span asked.

SQL is answered by SQLite over the plain columns of the view `spans`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from sandbox.errors import EvidenceError
from sandbox.model.instants import unix_nano_of
from sandbox.model.segment import EvidenceSegment
from sandbox.model.trace import (
    AttributeTest,
    RecordedSpan,
    SegmentDigest,
    SpanAnswer,
    SpanQuestion,
    SqlAnswer,
    is_trace_id,
)
from sandbox.ports import Segments
from sandbox.query import open_segment, read_segment_statement, verdicts_of
from sandbox.query.values import read_event, read_link
from sandbox.recorder import Frame, spans_in
from sandbox.recorder.spans import traces_in
from sandbox.rules import CompiledRules

ENGINE = "fake"
_CASES = {str: "string_value", bool: "bool_value", int: "int_value"}
_COLUMNS = ("trace_id", "span_id", "name", "service", "status", "duration_s")
_READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION}


class _Kept(NamedTuple):
    """A span as a record and as it came."""

    recorded: RecordedSpan
    sent: OtlpSpan
    resource: Resource


class FakeSpans:
    """Answers questions by reading every frame.

    Args:
        segments: Where sealed segments are read.
        rules: Gives the rules of a trial.
        keys: Raw public keys that may have signed statements of segments.
    """

    def __init__(
        self,
        segments: Segments,
        rules: Callable[[str], CompiledRules],
        *,
        keys: Sequence[bytes],
    ) -> None:
        self._segments = segments
        self._rules = rules
        self._keys = keys

    def search(self, trial_id: str, question: SpanQuestion) -> SpanAnswer:
        """Return the spans for which everything asked holds, by start."""
        found = [
            kept.recorded for kept in self._kept(trial_id) if _holds(kept, question)
        ]
        return self._answer(trial_id, found, question.limit)

    def trace(self, trial_id: str, trace_id: str) -> SpanAnswer:
        """Return every recorded span of one trace."""
        if not is_trace_id(trace_id):
            raise EvidenceError(f"{trace_id!r} is not a trace id")
        kept = [item.recorded for item in self._kept(trial_id)]
        found = [item for item in kept if item.span.trace_id == trace_id]
        return self._answer(trial_id, found, None)

    def sql(self, trial_id: str, statement: str, *, limit: int = 1000) -> SqlAnswer:
        """Run one reading statement over the plain columns of the view `spans`."""
        engine = sqlite3.connect(":memory:")
        engine.execute(f"CREATE TABLE spans ({', '.join(_COLUMNS)})")
        engine.executemany(
            f"INSERT INTO spans VALUES ({', '.join('?' * len(_COLUMNS))})",
            [
                [getattr(k.recorded.span, n) for n in _COLUMNS]
                for k in self._kept(trial_id)
            ],
        )
        engine.set_authorizer(_only_reading)
        try:
            cursor = engine.execute(statement)
            rows = cursor.fetchmany(limit + 1)
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise EvidenceError(f"the statement cannot be run: {error}") from error
        finally:
            engine.close()
        if cursor.description is None:
            raise EvidenceError("only one statement that reads can be asked")
        return SqlAnswer(
            trial_id=trial_id,
            statement=statement,
            columns=tuple(item[0] for item in cursor.description),
            rows=tuple(rows[:limit]),
            more=len(rows) > limit,
            evidence=self._evidence(trial_id),
            unsealed=self._count(trial_id, "open", "closed"),
            erased=self._count(trial_id, "erased"),
            engine=ENGINE,
        )

    def _answer(
        self, trial_id: str, found: Iterable[RecordedSpan], limit: int | None
    ) -> SpanAnswer:
        ordered = sorted(found, key=_order)
        return SpanAnswer(
            trial_id=trial_id,
            spans=tuple(ordered[:limit]),
            more=limit is not None and len(ordered) > limit,
            evidence=self._evidence(trial_id),
            unsealed=self._count(trial_id, "open", "closed"),
            erased=self._count(trial_id, "erased"),
            engine=ENGINE,
        )

    def _statements(self, trial_id: str) -> list[EvidenceSegment]:
        return [
            read_segment_statement(
                self._segments.read_envelope(trial_id, item.number),
                keys=self._keys,
                trial_id=trial_id,
                number=item.number,
            )
            for item in self._segments.files(trial_id)
            if item.state == "sealed"
        ]

    def _evidence(self, trial_id: str) -> tuple[SegmentDigest, ...]:
        return tuple(
            SegmentDigest(number=said.number, raw_digest=said.raw_digest)
            for said in self._statements(trial_id)
        )

    def _count(self, trial_id: str, *states: str) -> int:
        return sum(item.state in states for item in self._segments.files(trial_id))

    def _kept(self, trial_id: str) -> Iterator[_Kept]:
        for said in self._statements(trial_id):
            compressed, _ = self._segments.read_sealed(trial_id, said.number)
            for frame in open_segment(compressed, said):
                yield from _in_frame(frame, said.number, self._rules(trial_id))


def _in_frame(frame: Frame, segment: int, rules: CompiledRules) -> Iterator[_Kept]:
    sent = [
        (batch.resource, scope.scope.name, span)
        for batch in traces_in(frame).resource_spans
        for scope in batch.scope_spans
        for span in scope.spans
    ]
    for number, (seen, (resource, scope, span)) in enumerate(
        zip(spans_in(frame), sent, strict=True)
    ):
        recorded = RecordedSpan(
            span=seen,
            status_message=span.status.message,
            scope=scope,
            events=tuple(read_event(item) for item in span.events),
            links=tuple(read_link(item) for item in span.links),
            producer=frame.producer,
            received_at=frame.received_at,
            segment=segment,
            frame=frame.index,
            number=number,
            verdicts=verdicts_of(seen, rules),
        )
        yield _Kept(recorded, span, resource)


def _order(item: RecordedSpan) -> tuple[int, str, str, int, int, int]:
    span = item.span
    place = (item.segment, item.frame, item.number)
    return span.start_unix_nano, span.trace_id, span.span_id, *place


def _holds(kept: _Kept, question: SpanQuestion) -> bool:
    span = kept.recorded.span
    return all(
        (
            question.trace_id in ("", span.trace_id),
            question.service in ("", span.service),
            question.operation in ("", span.name),
            _within(span.duration_s, question),
            _in_time(span.start_unix_nano, question),
            all(_has(kept, test) for test in question.attributes),
            _is_judged(kept.recorded, question),
        )
    )


def _within(duration_s: float, question: SpanQuestion) -> bool:
    least, most = question.min_duration_s, question.max_duration_s
    return (least is None or duration_s >= least) and (
        most is None or duration_s <= most
    )


def _in_time(start: int, question: SpanQuestion) -> bool:
    since, until = question.since, question.until
    return (since is None or start >= unix_nano_of(since)) and (
        until is None or start < unix_nano_of(until)
    )


def _has(kept: _Kept, test: AttributeTest) -> bool:
    return _in(kept.sent.attributes, test) or _in(kept.resource.attributes, test)


def _in(items: Iterable[KeyValue], test: AttributeTest) -> bool:
    values = {item.key: item.value for item in items}
    if test.key not in values or test.value is None:
        return test.key in values
    case = _CASES.get(type(test.value), "double_value")
    value = values[test.key]
    return value.WhichOneof("value") == case and getattr(value, case) == test.value


def _is_judged(recorded: RecordedSpan, question: SpanQuestion) -> bool:
    if not question.rule and question.result is None:
        return True
    return any(
        question.rule in ("", verdict.rule)
        and question.result in (None, verdict.result)
        for verdict in recorded.verdicts
    )


def _only_reading(action: int, *_: Any) -> int:
    return sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY
