"""Recorded spans as Jaeger's user interface reads them from a file.

Rules of this module, from Jaeger's JSON model (`model/json`) and the OpenTelemetry
specification (OpenTelemetry to Jaeger Transformation):

* A file is `{"data": [trace, …]}`; a trace has spans and the processes they name.
* Times are whole microseconds. An end before the start gives a duration of 0, and a
  warning that says so.
* A tag keeps its type: string, bool, int64, float64, binary (base64). Lists and maps
  become JSON in a string. An int64 that JavaScript cannot hold, and a number that JSON
  cannot write, is given as text under its type.
* The parent is the reference CHILD_OF, a link FOLLOWS_FROM; an event is a log with the
  field `event`.
* `sandbox.place` and `sandbox.producer` say where the span lies in the evidence and who
  sent it; a span that was delivered twice is there twice.
"""

from __future__ import annotations

import base64
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    InstrumentationScope,
    KeyValue,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from sandbox.query.selection import Chosen, ReadChosen
from sandbox.recorder.request import parse_as
from sandbox.recorder.spans import attributes_of

Json = dict[str, Any]
_LARGEST = 2**53 - 1
"""The largest integer JavaScript holds exactly."""
_KINDS = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}
_STATUS = {1: "OK", 2: "ERROR"}


class JaegerSpan(NamedTuple):
    """One span with the process it belongs to."""

    trace_id: str
    process: Json
    span: Json
    """As in Jaeger's model, without `processID`."""


def jaeger_file(read: ReadChosen) -> Iterator[str]:
    """Yield the text of a file, piece by piece.

    What was chosen is read twice, so that a trace is written as soon as its last
    segment was read: held in memory are one segment and the traces that go on after it.

    Args:
        read: Reads the spans that are meant.

    Raises:
        EvidenceError: A frame is not a request of its signal.
    """
    last: dict[str, int] = {}
    for chosen in read():
        last.update(dict.fromkeys(_trace_ids(chosen), chosen.segment))
    held: dict[str, list[JaegerSpan]] = defaultdict(list)
    separator = '{"data": [\n'
    for segment, group in groupby(read(), key=lambda chosen: chosen.segment):
        for chosen in group:
            for item in jaeger_spans(chosen):
                held[item.trace_id].append(item)
        for trace_id in [key for key in held if last[key] <= segment]:
            trace = jaeger_trace(trace_id, held.pop(trace_id))
            yield separator + json.dumps(trace, ensure_ascii=False, allow_nan=False)
            separator = ",\n"
    yield '{"data": []}\n' if separator.startswith("{") else "\n]}\n"


def _trace_ids(chosen: Chosen) -> Iterator[str]:
    for _, _, (_, span) in _spans(chosen):
        yield span.trace_id.hex()


def jaeger_spans(chosen: Chosen) -> Iterator[JaegerSpan]:
    """Yield the spans that are meant of one frame.

    Args:
        chosen: The frame; one of another signal than traces has no spans.

    Raises:
        EvidenceError: The frame's payload is not a request of its signal.
    """
    producer = _tag("sandbox.producer", chosen.frame.producer)
    where = f"{chosen.segment}/{chosen.frame.index}"
    for batch, scope, (number, span) in _spans(chosen):
        tags = [_tag("sandbox.place", f"{where}/{number}"), producer]
        yield JaegerSpan(
            trace_id=span.trace_id.hex(),
            process=_process(batch.resource),
            span=_span(span, scope.scope, tags),
        )


def _spans(
    chosen: Chosen,
) -> Iterator[tuple[ResourceSpans, ScopeSpans, tuple[int, Span]]]:
    if chosen.frame.signal != "traces":
        return
    request = parse_as(ExportTraceServiceRequest, chosen.frame.payload)
    number = 0
    for batch in request.resource_spans:
        for scope in batch.scope_spans:
            for span in scope.spans:
                if chosen.numbers is None or number in chosen.numbers:
                    yield batch, scope, (number, span)
                number += 1


def jaeger_trace(trace_id: str, spans: Iterable[JaegerSpan]) -> Json:
    """Return one trace of the file.

    Args:
        trace_id: Its id in hexadecimal.
        spans: Its spans, in any order.
    """
    names: dict[str, str] = {}
    processes: dict[str, Json] = {}
    data = []
    for item in spans:
        key = json.dumps(item.process, sort_keys=True)
        name = names.setdefault(key, f"p{len(names) + 1}")
        processes[name] = item.process
        data.append({**item.span, "processID": name})
    return {"traceID": trace_id, "spans": data, "processes": processes}


def _process(resource: Resource) -> Json:
    tags = list(_tags(resource.attributes))
    service = [tag["value"] for tag in tags if tag["key"] == "service.name"]
    others = [tag for tag in tags if tag["key"] != "service.name"]
    # Jaeger cannot show a process without a name; OpenTelemetry's word for none.
    name = str(service[0]) if service else "unknown_service"
    return {"serviceName": name, "tags": others}


def _span(span: Span, scope: InstrumentationScope, tags: list[Json]) -> Json:
    start, end = span.start_time_unix_nano // 1000, span.end_time_unix_nano // 1000
    found: Json = {
        "traceID": span.trace_id.hex(),
        "spanID": span.span_id.hex(),
        "operationName": span.name,
        "references": list(_references(span)),
        "startTime": start,
        "duration": max(end - start, 0),
        "tags": [*_tags(span.attributes), *_own_tags(span, scope), *tags],
        "logs": [_log(event) for event in span.events],
    }
    if span.flags:
        found["flags"] = span.flags & 0xFF
    if end < start:
        found["warnings"] = [f"it says that it ended {start - end} µs before it began"]
    return found


def _references(span: Span) -> Iterator[Json]:
    if span.parent_span_id:
        yield _reference("CHILD_OF", span.trace_id, span.parent_span_id)
    for link in span.links:
        yield _reference("FOLLOWS_FROM", link.trace_id, link.span_id)


def _reference(kind: str, trace_id: bytes, span_id: bytes) -> Json:
    return {"refType": kind, "traceID": trace_id.hex(), "spanID": span_id.hex()}


def _own_tags(span: Span, scope: InstrumentationScope) -> Iterator[Json]:
    """Yield what OpenTelemetry has fields for, and Jaeger tags."""
    if span.kind in _KINDS:
        yield _tag("span.kind", _KINDS[span.kind])
    if span.status.code in _STATUS:
        yield _tag("otel.status_code", _STATUS[span.status.code])
    if span.status.code == span.status.STATUS_CODE_ERROR:
        yield {"key": "error", "type": "bool", "value": True}
    for name, text in (
        ("otel.status_description", span.status.message),
        ("otel.scope.name", scope.name),
        ("otel.scope.version", scope.version),
        ("w3c.tracestate", span.trace_state),
    ):
        if text:
            yield _tag(name, text)
    for kind in ("attributes", "events", "links"):
        if dropped := getattr(span, f"dropped_{kind}_count"):
            name = f"otel.dropped_{kind}_count"
            yield {"key": name, "type": "int64", "value": dropped}


def _log(event: Span.Event) -> Json:
    fields = [_tag("event", event.name), *_tags(event.attributes)]
    return {"timestamp": event.time_unix_nano // 1000, "fields": fields}


def _tag(key: str, text: str) -> Json:
    return {"key": key, "type": "string", "value": text}


def _tags(attributes: Iterable[KeyValue]) -> Iterator[Json]:
    for item in attributes:
        kind, value = _typed(item.value)
        yield {"key": item.key, "type": kind, "value": value}


def _typed(value: AnyValue) -> tuple[str, Any]:
    case = value.WhichOneof("value")
    if case == "bool_value":
        return "bool", value.bool_value
    if case == "int_value":
        number = value.int_value
        return "int64", number if abs(number) <= _LARGEST else str(number)
    if case == "double_value":
        real = value.double_value
        return "float64", real if math.isfinite(real) else str(real)
    if case == "bytes_value":
        return "binary", base64.b64encode(value.bytes_value).decode()
    if case in ("array_value", "kvlist_value"):
        return "string", _nested(value)
    return "string", value.string_value


def _nested(value: AnyValue) -> str:
    plain = attributes_of([KeyValue(key="value", value=value)])["value"]
    return json.dumps(plain, ensure_ascii=False)
