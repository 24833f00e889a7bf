"""From frames to spans, as rules see them.

Rules of this module:

* Only frames of traces hold spans; other signals give none.
* Nothing is dropped or repaired: identifiers are the hexadecimal form of whatever bytes
  came, in the order in which they came.
* Attribute values become JSON values: bytes as base64, numbers JSON cannot write (NaN,
  infinities) as their names, lists and maps at any depth. Of equal keys the last counts
  (OpenTelemetry leaves it open; a producer must not send them).
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping
from typing import Literal

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from pydantic import JsonValue

from sandbox.errors import EvidenceError
from sandbox.model.observation import Span
from sandbox.recorder.frame import Frame
from sandbox.recorder.request import parse_as

SpanKind = Literal[
    "unspecified", "internal", "server", "client", "producer", "consumer"
]
SpanStatus = Literal["unset", "ok", "error"]

_KINDS: Mapping[int, SpanKind] = {
    0: "unspecified",
    1: "internal",
    2: "server",
    3: "client",
    4: "producer",
    5: "consumer",
}
_STATUS: Mapping[int, SpanStatus] = {0: "unset", 1: "ok", 2: "error"}
_PLAIN = frozenset({"string_value", "bool_value", "int_value"})


def spans_in(frame: Frame) -> list[Span]:
    """Return the spans of a frame, in the order in which they were sent.

    Raises:
        EvidenceError: The frame's payload is not a traces request.
    """
    spans: list[Span] = []
    for batch in traces_in(frame).resource_spans:
        resource = attributes_of(batch.resource.attributes)
        name = service_of(resource)
        for scope in batch.scope_spans:
            spans.extend(
                span_of(
                    span,
                    attributes=attributes_of(span.attributes),
                    resource=resource,
                    service=name,
                )
                for span in scope.spans
            )
    return spans


def count_spans(frame: Frame) -> int:
    """Return how many spans a frame holds, without reading them.

    Raises:
        EvidenceError: The frame's payload is not a traces request.
    """
    return sum(
        len(scope.spans)
        for batch in traces_in(frame).resource_spans
        for scope in batch.scope_spans
    )


def traces_in(frame: Frame) -> ExportTraceServiceRequest:
    """Return the request of a frame; an empty one where it is of another signal.

    Raises:
        EvidenceError: The frame's payload is not a traces request.
    """
    if frame.signal != "traces":
        return ExportTraceServiceRequest()
    try:
        return parse_as(ExportTraceServiceRequest, frame.payload)
    except EvidenceError as error:
        raise EvidenceError(f"frame {frame.index}: {error.diagnosis}") from error


def service_of(resource: Mapping[str, JsonValue]) -> str:
    """Return the service a resource names; empty where it names none in text."""
    service = resource.get("service.name", "")
    return service if isinstance(service, str) else ""


def span_of(
    span: OtlpSpan,
    *,
    attributes: dict[str, JsonValue],
    resource: dict[str, JsonValue],
    service: str,
) -> Span:
    """Return a span as rules see it, with attributes that were read before."""
    # Built without validation: every value comes typed out of the protobuf reader.
    return Span.model_construct(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_span_id=span.parent_span_id.hex(),
        name=span.name,
        span_kind=_KINDS.get(span.kind, "unspecified"),
        service=service,
        start_unix_nano=span.start_time_unix_nano,
        end_unix_nano=span.end_time_unix_nano,
        status=_STATUS.get(span.status.code, "unset"),
        attributes=attributes,
        resource=resource,
    )


def facts_of(
    span: OtlpSpan,
    *,
    attributes: dict[str, JsonValue],
    resource: dict[str, JsonValue],
    service: str,
) -> dict[str, JsonValue]:
    """Return a span as expressions see it (`sandbox.rules.expression.span_facts`)."""
    start, end = span.start_time_unix_nano, span.end_time_unix_nano
    return {
        "name": span.name,
        "kind": _KINDS.get(span.kind, "unspecified"),
        "service": service,
        "status": _STATUS.get(span.status.code, "unset"),
        "duration_s": (end - start) / 1e9,
        "attributes": attributes,
        "resource": resource,
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_span_id": span.parent_span_id.hex(),
        "start_unix_nano": start,
        "end_unix_nano": end,
    }


def attributes_of(attributes: Iterable[KeyValue]) -> dict[str, JsonValue]:
    """Return attributes as JSON values by key."""
    return {item.key: json_value(item.value) for item in attributes}


def json_value(value: AnyValue) -> JsonValue:
    """Return one attribute value as a JSON value."""
    case = value.WhichOneof("value")
    if case in _PLAIN:
        return getattr(value, case)  # type: ignore[no-any-return]
    if case == "double_value":
        return json_number(value.double_value)
    if case == "array_value":
        return [json_value(item) for item in value.array_value.values]
    if case == "kvlist_value":
        return attributes_of(value.kvlist_value.values)
    if case == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    return None


def json_number(number: float) -> JsonValue:
    """Return a number, or the name of one that JSON cannot write."""
    if math.isfinite(number):
        return number
    if math.isnan(number):
        return "NaN"
    return "Infinity" if number > 0 else "-Infinity"
