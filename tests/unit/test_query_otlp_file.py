"""OTLP in files, there and back."""

from __future__ import annotations

import hashlib
import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    InstrumentationScope,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import (
    ResourceSpans,
    ScopeSpans,
    Span,
    Status,
)

from sandbox.query.otlp_file import as_sent, delimited, json_line, only_spans
from sandbox.query.otlp_reading import (
    LONGEST_REQUEST,
    BadRequest,
    FileRequest,
    read_delimited,
    read_json_lines,
)
from sandbox.recorder import Frame, from_json
from sandbox.testing.recorder import trace_request

LINE = json_line("traces", trace_request(["dispatch", "route"]))

WORDS = st.text(max_size=8)
INT64 = st.integers(-(2**63), 2**63 - 1)
UINT64 = st.integers(0, 2**64 - 1)
UINT32 = st.integers(0, 2**32 - 1)
IDS = {size: st.binary(min_size=size, max_size=size) for size in (8, 16)}
PLAIN = st.one_of(
    st.builds(AnyValue),
    st.builds(AnyValue, string_value=WORDS),
    st.builds(AnyValue, bool_value=st.booleans()),
    st.builds(AnyValue, int_value=INT64),
    st.builds(AnyValue, double_value=st.floats(allow_nan=False)),
    st.builds(AnyValue, bytes_value=st.binary(max_size=8)),
)


def nested(values: st.SearchStrategy[AnyValue]) -> st.SearchStrategy[AnyValue]:
    """Return lists and maps of values."""
    several = st.lists(values, max_size=3)
    pairs = st.lists(st.builds(KeyValue, key=WORDS, value=values), max_size=3)
    return st.one_of(
        st.builds(AnyValue, array_value=st.builds(ArrayValue, values=several)),
        st.builds(AnyValue, kvlist_value=st.builds(KeyValueList, values=pairs)),
    )


VALUES = st.recursive(PLAIN, nested, max_leaves=5)
KEYS = st.one_of(WORDS, st.just("traceId"))
ATTRIBUTES = st.lists(st.builds(KeyValue, key=KEYS, value=VALUES), max_size=3)
EVENTS = st.builds(Span.Event, time_unix_nano=UINT64, name=WORDS, attributes=ATTRIBUTES)
LINKS = st.builds(
    Span.Link, trace_id=IDS[16], span_id=IDS[8], attributes=ATTRIBUTES, flags=UINT32
)
SPANS = st.builds(
    Span,
    trace_id=IDS[16],
    span_id=IDS[8],
    parent_span_id=st.one_of(st.just(b""), IDS[8]),
    trace_state=WORDS,
    flags=UINT32,
    name=WORDS,
    kind=st.integers(0, 5),
    start_time_unix_nano=UINT64,
    end_time_unix_nano=UINT64,
    attributes=ATTRIBUTES,
    dropped_attributes_count=UINT32,
    events=st.lists(EVENTS, max_size=2),
    links=st.lists(LINKS, max_size=2),
    status=st.one_of(
        st.none(), st.builds(Status, message=WORDS, code=st.integers(0, 2))
    ),
)
SCOPES = st.builds(
    ScopeSpans,
    scope=st.one_of(
        st.none(), st.builds(InstrumentationScope, name=WORDS, attributes=ATTRIBUTES)
    ),
    spans=st.lists(SPANS, max_size=3),
    schema_url=WORDS,
)
BATCHES = st.builds(
    ResourceSpans,
    resource=st.one_of(st.none(), st.builds(Resource, attributes=ATTRIBUTES)),
    scope_spans=st.lists(SCOPES, max_size=2),
)
REQUESTS = st.builds(
    ExportTraceServiceRequest, resource_spans=st.lists(BATCHES, min_size=1, max_size=2)
)


def frame(payload: bytes) -> Frame:
    """Return a recorded request."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Frame(0, 0, "traces", "hotrod", at, payload, 1)


def read(*lines: bytes) -> list[FileRequest | BadRequest]:
    """Return what a file of lines holds."""
    return list(read_json_lines(io.BytesIO(b"".join(lines))))


@settings(deadline=None)
@given(REQUESTS)
def test_json_loses_nothing(request: ExportTraceServiceRequest) -> None:
    """A request becomes one line, and the line the same request, byte for byte."""
    payload = request.SerializeToString()
    line = json_line("traces", payload)
    assert line.count(b"\n") == 1
    assert from_json("traces", line[:-1]).payload == payload
    (found,) = read(line)
    assert isinstance(found, FileRequest)
    spans = [s for b in request.resource_spans for c in b.scope_spans for s in c.spans]
    assert (found.signal, found.spans) == ("traces", len(spans))


@settings(deadline=None)
@given(st.lists(REQUESTS, max_size=3))
def test_protobuf_is_kept_as_it_is(requests: list[ExportTraceServiceRequest]) -> None:
    """Length-delimited requests come back as the same bytes, in order."""
    payloads = [request.SerializeToString() for request in requests]
    file = io.BytesIO(b"".join(delimited(item) for item in payloads))
    found = list(read_delimited(file, "traces"))
    assert [item.body for item in found if isinstance(item, FileRequest)] == payloads
    assert [item.number for item in found] == list(range(1, len(payloads) + 1))


def test_a_line_is_as_the_specification_says() -> None:
    """Ids in hexadecimal, integers of 64 bits as text, enumerations as integers."""
    request = ExportTraceServiceRequest()
    span = (
        request.resource_spans.add()
        .scope_spans.add()
        .spans.add(
            trace_id=bytes.fromhex("5b8efff798038103d269b633813fc60c"),
            span_id=bytes.fromhex("eee19b7ec3c1b174"),
            parent_span_id=bytes.fromhex("eee19b7ec3c1b173"),
            name="naïve\nname",
            kind=2,
            start_time_unix_nano=1544712660000000000,
        )
    )
    span.attributes.add(key="n").value.int_value = -5
    span.attributes.add(key="raw").value.bytes_value = b"\x00\xff"
    span.attributes.add(key="none").value.double_value = float("nan")
    line = json_line("traces", request.SerializeToString())
    assert json.loads(line) == {
        "resourceSpans": [
            {
                "scopeSpans": [
                    {
                        "spans": [
                            {
                                "traceId": "5b8efff798038103d269b633813fc60c",
                                "spanId": "eee19b7ec3c1b174",
                                "parentSpanId": "eee19b7ec3c1b173",
                                "name": "naïve\nname",
                                "kind": 2,
                                "startTimeUnixNano": "1544712660000000000",
                                "attributes": [
                                    {"key": "n", "value": {"intValue": "-5"}},
                                    {"key": "raw", "value": {"bytesValue": "AP8="}},
                                    {"key": "none", "value": {"doubleValue": "NaN"}},
                                ],
                            }
                        ]
                    }
                ]
            }
        ]
    }
    assert "naïve".encode() in line
    assert from_json("traces", line).payload == request.SerializeToString()


def test_logs_and_their_ids() -> None:
    """Other signals are lines too; their ids are hexadecimal as well."""
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    scope.log_records.add(trace_id=b"0123456789abcdef", span_id=b"01234567")
    line = json_line("logs", request.SerializeToString())
    assert b"3031323334353637" in line
    (found,) = read(line)
    assert isinstance(found, FileRequest)
    assert (found.signal, found.spans) == ("logs", 0)


SHAPES: dict[str, str] = {
    "traces": '{"resourceSpans":[{"resource":{"attributes":[{"key":"a","value":'
    '{"stringValue":"v"}}]},"scopeSpans":[{"scope":{},"spans":[{"traceId":"",'
    '"spanId":"","parentSpanId":"","name":"operationA","startTimeUnixNano":'
    '"1581452772000000321","droppedAttributesCount":1,"events":[{"timeUnixNano":'
    '"1581452773000000123","name":"e"}],"status":{}}]}]}]}',
    "metrics": '{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"counter-int",'
    '"sum":{"dataPoints":[{"timeUnixNano":"1581452773000000789","asInt":"123"}],'
    '"aggregationTemporality":2,"isMonotonic":true}}]}]}]}',
    "logs": '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityNumber":9,'
    '"body":{"stringValue":"hello"},"traceId":"08040201000000000000000000000000",'
    '"spanId":"0102040800000000"}]}]}]}',
}


@pytest.mark.parametrize("signal", SHAPES)
def test_lines_as_others_write_them(signal: str) -> None:
    """Empty ids, empty objects, integers as text: as the File Exporter shows them."""
    (found,) = read(SHAPES[signal].encode())
    assert isinstance(found, FileRequest)
    assert found.signal == signal
    payload = from_json(found.signal, found.body).payload
    again = json_line(found.signal, payload)
    assert from_json(found.signal, again).payload == payload


def test_the_digest_of_a_json_body_is_taken_off() -> None:
    """What the recorder added is not sent again; what only looks like it is."""
    converted = from_json("traces", LINE)
    recorded = converted.payload + converted.origin
    assert as_sent(frame(recorded)) == converted.payload
    assert as_sent(frame(converted.payload)) == converted.payload
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    scope.spans.add().trace_state = converted.origin.decode("latin-1")
    like = request.SerializeToString()
    assert as_sent(frame(like)) == like
    assert len(converted.origin) == 4 + hashlib.sha256().digest_size


def test_some_spans_of_a_request() -> None:
    """Those kept stay as they are, with what is around them; empty groups go."""
    request = ExportTraceServiceRequest()
    for service in ("a", "b"):
        batch = request.resource_spans.add(schema_url=service)
        for scope in ("1", "2"):
            spans = batch.scope_spans.add(schema_url=scope).spans
            spans.add(name=f"{service}{scope}x")
            spans.add(name=f"{service}{scope}y").events.add(name="kept")
    found = ExportTraceServiceRequest.FromString(
        only_spans(request.SerializeToString(), frozenset({1, 2, 3}))
    )
    (batch,) = found.resource_spans
    assert batch.schema_url == "a"
    names = {
        scope.schema_url: [s.name for s in scope.spans] for scope in batch.scope_spans
    }
    assert names == {"1": ["a1y"], "2": ["a2x", "a2y"]}
    assert batch.scope_spans[0].spans[0].events[0].name == "kept"


def test_fields_of_a_newer_version_stay_in_protobuf() -> None:
    """A span that is picked keeps fields nobody here knows."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    spans.add(name="a")
    spans.append(Span.FromString(Span(name="b").SerializeToString() + b"\xf2\x1f\x01!"))
    picked = only_spans(request.SerializeToString(), frozenset({1}))
    assert picked.endswith(b"\xf2\x1f\x01!")


HOSTILE: list[tuple[bytes, str]] = [
    (b"not json\n", "not JSON"),
    (b"[]\n", "exactly one"),
    (b"{}\n", "exactly one"),
    (b'{"resourceSpans":[],"resourceLogs":[]}\n', "exactly one"),
    (b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"ab"}]}]}]}\n', "traceId"),
    (b'{"resourceSpans":7}\n', "JSON"),
    (b'{"resourceLogs":[{}]}\n', "began with traces"),
    (b"\xff\n", "UTF-8"),
    (b"[" * 100_000 + b"\n", "JSON"),
]


@pytest.mark.parametrize(("line", "reason"), HOSTILE)
def test_a_bad_line_is_named_with_its_reason(line: bytes, reason: str) -> None:
    """Reading goes on after it, so that every bad line is found."""
    found = read(LINE, b"\n", line, LINE)
    assert [item.number for item in found] == [1, 3, 4]
    assert isinstance(found[1], BadRequest)
    assert reason in found[1].reason
    assert isinstance(found[2], FileRequest)


def test_a_line_that_is_too_long_is_passed_over() -> None:
    """It is never held in memory as a whole, and what follows is read."""
    found = read(b" " * (3 * LONGEST_REQUEST) + b"\n", LINE)
    assert [type(item) for item in found] == [BadRequest, FileRequest]
    assert [item.number for item in found] == [1, 2]


def test_a_last_line_needs_no_line_feed() -> None:
    """It is read like the others; so are the line feeds of another system."""
    found = read(LINE.replace(b"\n", b"\r\n"), LINE.rstrip(b"\n"))
    assert [type(item) for item in found] == [FileRequest, FileRequest]
    assert found[0][2:] == found[1][2:]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (delimited(b"\xff\xff"), "not an OTLP"),
        (delimited(trace_request())[:-1], "of its"),
        (b"\xff\xff\xff\xff\xff\x01", "length cannot be read"),
        (b"\xff", "length cannot be read"),
        (b"\xff\xff\xff\x7f", "more than"),
    ],
)
def test_a_bad_request_is_named(data: bytes, reason: str) -> None:
    """Its place among the requests, and why it would be refused."""
    file = io.BytesIO(delimited(trace_request()) + data)
    first, second, *_ = list(read_delimited(file, "traces"))
    assert isinstance(first, FileRequest)
    assert isinstance(second, BadRequest)
    assert second.number == 2
    assert reason in second.reason


def test_a_claim_to_have_come_in_json_is_refused() -> None:
    """The recorder would refuse it; the file is told before anything is sent."""
    converted = from_json("traces", LINE)
    file = io.BytesIO(delimited(converted.payload + converted.origin))
    (found,) = read_delimited(file, "traces")
    assert isinstance(found, BadRequest)
    assert "19963" in found.reason


def any_json() -> st.SearchStrategy[Any]:
    """Return any JSON value with keys of OTLP in it."""
    keys = st.sampled_from(
        ["resourceSpans", "scopeSpans", "spans", "traceId", "attributes", "value", "x"]
    )
    plain = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), WORDS)
    return st.recursive(
        plain,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)
        ),
    )


@settings(deadline=None)
@given(any_json())
def test_anything_is_read_or_named(data: Any) -> None:
    """Whatever stands in a line, it is a request or a bad line, never a crash."""
    found = read(json.dumps({"resourceSpans": data}).encode())
    assert [item.number for item in found] == [1]
