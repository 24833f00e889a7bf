"""What leaves a trial, read from its raw frames."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from sandbox.errors import EvidenceError
from sandbox.model.record import digest_of
from sandbox.model.trace import SegmentDigest, SpanAnswer
from sandbox.query.jaeger import jaeger_file
from sandbox.query.selection import Chosen
from sandbox.testing.clock import FixedClock
from sandbox.testing.records import FakeRecords
from sandbox.testing.segments import FakeSegments
from sandbox.testing.traces import recorded_span
from sandbox.testing.trial import STARTED_AT, RecordedTrial
from workflows.activities.keeping import Ledger
from workflows.cli.exporting import Form, Source, Wanted, pieces


class Recorded(NamedTuple):
    """A trial, and the ports its record is kept through."""

    trial: RecordedTrial
    segments: FakeSegments
    ledger: Ledger

    def send(self, *traces: bytes) -> None:
        """Record one request with one span for each trace."""
        request = ExportTraceServiceRequest()
        scope = request.resource_spans.add().scope_spans.add()
        for trace in traces:
            scope.spans.add(trace_id=trace * 16, span_id=b"12345678")
        self.trial.send(request)

    def source(self, answer: SpanAnswer | None = None) -> Source:
        """Return what reads every traces request, or the spans of an answer."""
        return Source(self.ledger, Wanted(self.trial.trial_id, "traces", answer))

    def answer(self, *places: tuple[int, int, int]) -> SpanAnswer:
        """Return an answer with spans at these places, drawn from what is sealed."""
        names = ("segment", "frame", "number")
        spans = [
            recorded_span("1", **dict(zip(names, place, strict=True)))
            for place in places
        ]
        evidence = [
            SegmentDigest(
                number=file.number,
                raw_digest=digest_of(
                    self.segments.read(self.trial.trial_id, file.number)
                ),
            )
            for file in self.segments.files(self.trial.trial_id)
        ]
        return SpanAnswer(
            trial_id=self.trial.trial_id,
            spans=tuple(spans),
            more=False,
            evidence=tuple(evidence),
            engine="scripted 1.0",
        )


@pytest.fixture(name="recorded")
def _recorded() -> Recorded:
    segments = FakeSegments()
    trial = RecordedTrial(segments=segments, receive=segments.receive)
    clock = FixedClock(STARTED_AT)
    ledger = Ledger(trial.log, FakeRecords(), segments, trial.signer, clock)
    return Recorded(trial, segments, ledger)


@pytest.mark.parametrize("is_sealed_meanwhile", [False, True])
def test_a_trial_that_is_being_recorded_leaves_as_it_was(
    recorded: Recorded, *, is_sealed_meanwhile: bool
) -> None:
    """What comes while traces are written is not among them, nor any trace twice."""
    recorded.send(b"a", b"b")
    recorded.trial.seal()
    recorded.send(b"b")
    source = recorded.source()

    def read() -> Iterator[Chosen]:
        yield from source.read()
        recorded.send(b"a", b"c")
        if is_sealed_meanwhile:
            recorded.trial.seal()
            recorded.send(b"b", b"d")

    traces = json.loads("".join(jaeger_file(read)))["data"]
    found = {trace["traceID"][:2]: len(trace["spans"]) for trace in traces}
    assert (found, len(traces)) == ({"61": 1, "62": 2}, 2)
    assert (source.requests, source.spans) == (2, 3)


def test_spans_of_an_answer_leave(recorded: Recorded) -> None:
    """What is counted is what leaves."""
    recorded.send(b"a", b"b")
    recorded.send(b"c")
    recorded.trial.seal()
    source = recorded.source(recorded.answer((1, 0, 1), (1, 1, 0)))
    found = [json.loads(line) for line in pieces(source, Form.otlp)]
    spans = [line["resourceSpans"][0]["scopeSpans"][0]["spans"] for line in found]
    assert [[span["traceId"][:2] for span in one] for one in spans] == [["62"], ["63"]]
    assert (source.requests, source.spans) == (2, 2)


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("place", [(1, 0, 2), (1, 0, -1), (1, 1, 0), (2, 0, 0)])
def test_a_span_that_is_not_there_is_said(
    recorded: Recorded, place: tuple[int, int, int], form: Form
) -> None:
    """Its place is named; it is neither left out nor counted."""
    recorded.send(b"a", b"b")
    recorded.trial.seal()
    source = recorded.source(recorded.answer((1, 0, 0), place))
    segment, frame, number = place
    said = f"segment {segment}, frame {frame}, number {number} .* ask again"
    with pytest.raises(EvidenceError, match=said):
        list(pieces(source, form))
    assert (source.requests, source.spans) == (0, 0)


def test_a_span_of_an_erased_segment_is_said(recorded: Recorded) -> None:
    """An answer outlives what it was drawn from; its export says so."""
    recorded.send(b"a")
    recorded.trial.seal()
    answer = recorded.answer((1, 0, 0))
    recorded.segments.erase(recorded.trial.trial_id, 1)
    with pytest.raises(EvidenceError, match="segment 1, frame 0, number 0 .*erased"):
        list(pieces(recorded.source(answer), Form.otlp))


def test_an_answer_drawn_from_other_bytes_is_said(recorded: Recorded) -> None:
    """Places mean spans only in the very segments that were searched."""
    recorded.send(b"a")
    answer = recorded.answer((1, 0, 0))
    recorded.send(b"b")
    recorded.trial.seal()
    with pytest.raises(EvidenceError, match="segment 1 .* drawn from; ask again"):
        list(pieces(recorded.source(answer), Form.otlp))
