"""Spans as rules see them, and requests that no reader could read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from sandbox.errors import EvidenceError
from sandbox.model.observation import Span
from sandbox.model.segment import Signal
from sandbox.recorder import (
    Frame,
    check_request,
    count_spans,
    decode_frames,
    encode_frame,
    is_unusual,
    spans_in,
)


def frame(payload: bytes, signal: Signal = "traces") -> Frame:
    data = encode_frame(
        payload,
        signal=signal,
        producer="p",
        sequence=1,
        received_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return decode_frames(data)[0][0]


def attribute(key: str, **value: object) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(**value))  # type: ignore[arg-type]


def one_span(**fields: object) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    batch = request.resource_spans.add()
    batch.resource.attributes.append(attribute("service.name", string_value="driver"))
    batch.scope_spans.add().spans.append(OtlpSpan(**fields))  # type: ignore[arg-type]
    return request


def test_a_span_is_read_with_all_its_fields() -> None:
    """Identifiers in lower-case hexadecimal, kind and status by name, times exact."""
    request = one_span(
        trace_id=bytes(range(16)),
        span_id=b"\xab" * 8,
        parent_span_id=b"\xcd" * 8,
        name="HTTP GET /dispatch",
        kind=OtlpSpan.SPAN_KIND_SERVER,
        start_time_unix_nano=1_700_000_000_123_456_789,
        end_time_unix_nano=1_700_000_001_123_456_789,
        status=Status(code=Status.STATUS_CODE_ERROR),
        attributes=[attribute("http.status_code", int_value=200)],
    )
    (span,) = spans_in(frame(request.SerializeToString()))
    assert span == Span.model_validate(span.model_dump())
    assert span == Span(
        trace_id=bytes(range(16)).hex(),
        span_id="ab" * 8,
        parent_span_id="cd" * 8,
        name="HTTP GET /dispatch",
        span_kind="server",
        service="driver",
        start_unix_nano=1_700_000_000_123_456_789,
        end_unix_nano=1_700_000_001_123_456_789,
        status="error",
        attributes={"http.status_code": 200},
        resource={"service.name": "driver"},
    )
    assert span.duration_s == 1.0


def test_attribute_values_keep_their_types_at_any_depth() -> None:
    """Booleans, numbers, text, bytes, lists, maps and nothing."""
    nested = AnyValue()
    nested.array_value.values.add(int_value=1)
    nested.array_value.values.add().kvlist_value.values.append(
        attribute("k", bool_value=True)
    )
    request = one_span(
        attributes=[
            attribute("text", string_value=""),
            attribute("yes", bool_value=True),
            attribute("no", bool_value=False),
            attribute("int", int_value=-(2**63)),
            attribute("float", double_value=0.5),
            attribute("nan", double_value=float("nan")),
            attribute("infinite", double_value=float("-inf")),
            attribute("bytes", bytes_value=b"\x00\xff"),
            KeyValue(key="nested", value=nested),
            KeyValue(key="empty"),
        ]
    )
    (span,) = spans_in(frame(request.SerializeToString()))
    assert span.attributes == {
        "text": "",
        "yes": True,
        "no": False,
        "int": -(2**63),
        "float": 0.5,
        "nan": "NaN",
        "infinite": "-Infinity",
        "bytes": "AP8=",
        "nested": [1, {"k": True}],
        "empty": None,
    }


def test_order_and_count_of_spans_are_those_of_the_request() -> None:
    """Several resources and scopes are read one after the other."""
    request = ExportTraceServiceRequest()
    for number in range(6):
        if number % 3 == 0:
            batch = request.resource_spans.add()
        batch.scope_spans.add().spans.add(name=str(number))
    item = frame(request.SerializeToString())
    assert [span.name for span in spans_in(item)] == list("012345")
    assert count_spans(item) == 6


def test_other_signals_hold_no_spans() -> None:
    """A logs request gives none, even where its bytes could be read as traces."""
    item = frame(one_span(name="x").SerializeToString(), "logs")
    assert spans_in(item) == []
    assert count_spans(item) == 0


def test_a_frame_that_cannot_be_read_names_itself() -> None:
    """Malformed payloads raise EvidenceError with the frame's number."""
    with pytest.raises(EvidenceError, match="frame 0.*ExportTraceServiceRequest"):
        spans_in(frame(b"\xff\xff"))


def test_unknown_fields_are_noted_not_refused() -> None:
    """A newer OTLP is evidence too; a usual request is not noted."""
    usual = one_span(name="x").SerializeToString()
    assert not is_unusual("traces", usual)
    assert not is_unusual("traces", b"")
    assert is_unusual("traces", usual + b"\xfa\x3f\x01x")


@pytest.mark.parametrize("signal", ["traces", "metrics", "logs"])
def test_bytes_that_are_no_request_are_refused(signal: Signal) -> None:
    """Cut off, wrong wire type inside a known message, or noise."""
    logs = ExportLogsServiceRequest()
    logs.resource_logs.add().scope_logs.add().log_records.add(event_name="e")
    for body in (b"\xff", b"\x0a\x05ab", logs.SerializeToString()[:-1]):
        with pytest.raises(EvidenceError, match="Request in protobuf"):
            check_request(signal, body)
