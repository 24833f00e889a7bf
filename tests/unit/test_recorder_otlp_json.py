"""OTLP in JSON becomes the same request in protobuf (OTLP, JSON Protobuf Encoding)."""

import contextlib
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from sandbox.errors import EvidenceError
from sandbox.recorder import check_request, from_json, is_unusual, origin_digest

TRACE = "5B8EFFF798038103D269B633813FC60C"


def traces(**fields: Any) -> bytes:
    span = {"traceId": TRACE, "spanId": "EEE19B7EC3C1B174", "name": "a", **fields}
    batch = {"scopeSpans": [{"spans": [span]}]}
    return json.dumps({"resourceSpans": [batch]}).encode()


def span_of(body: bytes) -> Any:
    request = ExportTraceServiceRequest.FromString(from_json("traces", body).payload)
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


@pytest.mark.parametrize("text", ["+/8=", "+/8", "-_8=", "-_8"])
def test_bytes_are_base64_of_either_alphabet_padded_or_not(text: str) -> None:
    """Protobuf JSON Mapping: all four forms of the same two bytes are taken."""
    span = span_of(traces(attributes=[{"value": {"bytesValue": text}}]))
    assert span.attributes[0].value.bytes_value == b"\xfb\xff"


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_unknown_keys_are_ignored_and_snake_case_is_unknown() -> None:
    """Neither a newer field, whatever it holds, nor a snake_case name has an effect."""
    newer = {"traceId": "not hex", "kind": "A_NAME", "code": [1], "deep": [[{}]]}
    span = span_of(traces(newer=newer, start_time_unix_nano=5))
    assert (span.name, span.start_time_unix_nano) == ("a", 0)


def test_every_signal_has_its_own_fields() -> None:
    """A log's body and a metric's points arrive; an attribute's key is not a field."""
    log = {"severityNumber": 9, "traceId": TRACE, "body": {"stringValue": "x"}}
    logs = from_json("logs", in_scope("resourceLogs", "scopeLogs", "logRecords", log))
    record = ExportLogsServiceRequest.FromString(logs.payload)
    first = record.resource_logs[0].scope_logs[0].log_records[0]
    assert (first.severity_number, first.body.string_value) == (9, "x")
    assert first.trace_id == bytes.fromhex(TRACE)
    point = {"asInt": "3", "attributes": [{"key": "trace_id", "value": {}}]}
    total = {"name": "n", "sum": {"aggregationTemporality": 2, "dataPoints": [point]}}
    body = in_scope("resourceMetrics", "scopeMetrics", "metrics", total)
    request = ExportMetricsServiceRequest.FromString(from_json("metrics", body).payload)
    metric = request.resource_metrics[0].scope_metrics[0].metrics[0]
    assert metric.sum.aggregation_temporality == 2
    assert metric.sum.data_points[0].as_int == 3
    assert metric.sum.data_points[0].attributes[0].key == "trace_id"


def in_scope(resource: str, scope: str, items: str, item: Any) -> bytes:
    return json.dumps({resource: [{scope: [{items: [item]}]}]}).encode()


def test_the_digest_of_the_body_follows_where_no_reader_looks() -> None:
    """What is recorded still reads as OTLP, and gives back SHA-256 of what came."""
    body = b'{"resourceLogs": [{"scopeLogs": [{"logRecords": [{}]}]}]}'
    payload, origin = from_json("logs", body)
    assert not is_unusual("logs", payload)
    recorded = payload + origin
    request = ExportLogsServiceRequest.FromString(recorded)
    assert len(request.resource_logs[0].scope_logs[0].log_records) == 1
    assert origin_digest("logs", recorded) == hashlib.sha256(body).digest()


def test_only_what_ends_in_a_digest_is_read_to_find_it() -> None:
    """Saying that a request came in protobuf takes no reading of it."""
    assert origin_digest("traces", b"\xff") is None
    with pytest.raises(EvidenceError, match="not an OTLP"):
        origin_digest("traces", b"\xff" + from_json("traces", traces()).origin)


def test_no_sender_can_claim_that_its_protobuf_was_json() -> None:
    """The recorder's own field is refused; the same bytes as an id are only an id."""
    payload, origin = from_json("traces", traces())
    with pytest.raises(EvidenceError, match="field 19963"):
        check_request("traces", payload + origin)
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    scope.spans.add(trace_id=origin)
    assert request.SerializeToString().endswith(origin)
    assert not is_unusual("traces", request.SerializeToString())
    assert origin_digest("traces", request.SerializeToString()) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(
    st.sampled_from(["traceId", "kind", "links", "attributes", "status", "flags"]),
    json_values,
)
def test_any_value_in_any_field_is_read_or_refused(field: str, value: Any) -> None:
    """Nothing but a refusal with its reason comes out of what is not OTLP."""
    with contextlib.suppress(EvidenceError):
        from_json("traces", traces(**{field: value}))


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
        (traces(kind="2"), "write the integer"),
        (traces(kind=2.5), "write the integer"),
        (traces(attributes=[{"value": {"bytesValue": "AQ!I"}}]), "write base64"),
        (traces(attributes=[{"value": {"bytesValue": "AQIDB"}}]), "write base64"),
        (traces(name="\ud800"), "in JSON"),
        (traces().decode().encode("utf-16"), "in JSON"),
        (traces(links=[None]), "in JSON"),
        (traces(startTimeUnixNano="soon"), "in JSON"),
    ],
)
def test_what_is_not_otlp_is_refused_with_its_reason(body: bytes, said: str) -> None:
    """Nothing of a wrong body is kept; the sender reads what to change."""
    with pytest.raises(EvidenceError) as caught:
        from_json("traces", body)
    assert said in caught.value.diagnosis
