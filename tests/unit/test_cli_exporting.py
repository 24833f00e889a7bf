"""What leaves a trial, read from its raw frames."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from sandbox.query.jaeger import jaeger_file
from sandbox.query.selection import Chosen
from sandbox.testing.clock import FixedClock
from sandbox.testing.records import FakeRecords
from sandbox.testing.segments import FakeSegments
from sandbox.testing.trial import STARTED_AT, RecordedTrial
from workflows.activities.keeping import Ledger
from workflows.cli.exporting import Source, Wanted


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

    def source(self) -> Source:
        """Return what reads every traces request."""
        return Source(self.ledger, Wanted(self.trial.trial_id, "traces"))


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
