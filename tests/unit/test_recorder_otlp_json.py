"""OTLP in JSON becomes the same request in protobuf (OTLP, JSON Protobuf Encoding)."""

import hashlib
import json
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from sandbox.errors import EvidenceError
from sandbox.recorder import check_request, from_json

TRACE = "5B8EFFF798038103D269B633813FC60C"


def traces(**fields: Any) -> bytes:
    span = {"traceId": TRACE, "spanId": "EEE19B7EC3C1B174", "name": "a", **fields}
    batch = {"scopeSpans": [{"spans": [span]}]}
    return json.dumps({"resourceSpans": [batch]}).encode()


def span_of(body: bytes) -> Any:
    request = ExportTraceServiceRequest.FromString(from_json("traces", body))
    return request.resource_spans[0].scope_spans[0].spans[0]


@pytest.mark.parametrize("trace", [TRACE, TRACE.lower()])
def test_ids_are_hexadecimal_in_either_case(trace: str) -> None:
    """The sixteen and eight bytes come out, of links and parents too."""
    link = {"traceId": trace, "spanId": "00f067aa0ba902b7"}
    span = span_of(traces(traceId=trace, parentSpanId="", links=[link]))
    assert span.trace_id == span.links[0].trace_id == bytes.fromhex(TRACE)
    assert span.span_id == bytes.fromhex("eee19b7ec3c1b174")
    assert span.links[0].span_id == bytes.fromhex("00f067aa0ba902b7")
    assert span.parent_span_id == b""


def test_numbers_come_as_text_or_number_and_bytes_as_base64() -> None:
    """64-bit integers in both forms; only ids are hexadecimal."""
    values = [{"intValue": "-7"}, {"intValue": -7}, {"bytesValue": "AQI="}]
    attributes = [{"key": f"k{n}", "value": v} for n, v in enumerate(values)]
    span = span_of(
        traces(
            startTimeUnixNano="1544712660000000000", endTimeUnixNano=5, kind=2
        ).replace(b'"kind": 2', b'"kind": 2, "attributes": %s' % _json(attributes))
    )
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (
        1544712660000000000,
        5,
    )
    assert [item.value.int_value for item in span.attributes[:2]] == [-7, -7]
    assert span.attributes[2].value.bytes_value == b"\x01\x02"
    assert span.kind == 2


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_unknown_keys_are_ignored_and_snake_case_is_unknown() -> None:
    """Neither a newer field nor a field's snake_case name has an effect."""
    span = span_of(traces(newer={"a": [1]}, start_time_unix_nano=5))
    assert (span.name, span.start_time_unix_nano) == ("a", 0)


def test_the_digest_of_the_body_follows_where_no_reader_looks() -> None:
    """The request ends with SHA-256 of what came, and still reads as OTLP."""
    body = b'{"resourceLogs": [{"scopeLogs": [{"logRecords": [{}]}]}]}'
    found = from_json("logs", body)
    assert found.endswith(hashlib.sha256(body).digest())
    request = ExportLogsServiceRequest.FromString(found)
    assert len(request.resource_logs[0].scope_logs[0].log_records) == 1
    assert check_request("logs", found).unusual


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not an OTLP ExportTraceServiceRequest in JSON"),
        (b"[]", "not an object"),
        (b"{", "in JSON"),
        (b"\xff", "in JSON"),
        (b'{"resourceSpans": 1}', "resourceSpans"),
        (b'{"a":' * 100_000, "in JSON"),
        (traces(traceId="5B8"), "traceId is '5B8'; write 32"),
        (traces(traceId=TRACE[:-2]), "write 32"),
        (traces(spanId="zz" * 8), "write 16"),
        (traces(kind="SPAN_KIND_SERVER"), "write the integer"),
        (traces(startTimeUnixNano="soon"), "in JSON"),
    ],
)
def test_what_is_not_otlp_is_refused_with_its_reason(body: bytes, said: str) -> None:
    """Nothing of a wrong body is kept; the sender reads what to change."""
    with pytest.raises(EvidenceError) as caught:
        from_json("traces", body)
    assert said in caught.value.diagnosis
