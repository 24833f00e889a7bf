"""Recorded requests as OTLP files: JSON lines, or length-delimited protobuf.

Rules of this module, from the OpenTelemetry Protocol File Exporter and the OTLP
specification (JSON Protobuf Encoding):

* A line is one `TracesData`, `MetricsData` or `LogsData`, in UTF-8, ended by a line
  feed; a file holds one of the three and nothing else. Here a line is one request.
* Ids are hexadecimal, other bytes base64; enumerations are integers; 64-bit integers
  are text.
* In the length-delimited form a request is `varint(length) || bytes`, the bytes exactly
  as they were received. Fields that this version of OTLP does not know survive only
  there.
* What the recorder added to a request that came in JSON, its digest, is taken off: it
  speaks of the body that came then.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from sandbox.model.segment import Signal
from sandbox.query.selection import Chosen
from sandbox.recorder.frame import Frame
from sandbox.recorder.request import (
    ORIGIN_PREFIX,
    TYPES,
    claims_origin,
    parse_as,
)

_ORIGIN_BYTES = len(ORIGIN_PREFIX) + 32
_ID_NAMES = frozenset({"traceId", "spanId", "parentSpanId"})


def as_sent(frame: Frame) -> bytes:
    """Return a recorded request as its sender would send it again, in protobuf.

    Raises:
        EvidenceError: It ends as a digest does, and is not a request of its signal.
    """
    if claims_origin(frame.signal, frame.payload):
        return frame.payload[:-_ORIGIN_BYTES]
    return frame.payload


def payload_of(chosen: Chosen) -> bytes:
    """Return a request as its sender would send it, with the spans that are meant.

    Raises:
        EvidenceError: A part of it is meant, and it is not a request of its signal.
    """
    payload = as_sent(chosen.frame)
    if chosen.numbers is None:
        return payload
    return only_spans(payload, chosen.numbers)


def only_spans(payload: bytes, numbers: frozenset[int]) -> bytes:
    """Return a traces request that keeps some of its spans, with all around them.

    Args:
        payload: The request in protobuf.
        numbers: The spans to keep, counted from 0 in the order in which they stand.

    Raises:
        EvidenceError: It is not a traces request.
    """
    request = parse_as(ExportTraceServiceRequest, payload)
    first = 0
    for batch in request.resource_spans:
        for scope in batch.scope_spans:
            count = len(scope.spans)
            for place in reversed(range(count)):
                if first + place not in numbers:
                    del scope.spans[place]
            first += count
        _drop_empty(batch.scope_spans, "spans")
    _drop_empty(request.resource_spans, "scope_spans")
    return bytes(request.SerializeToString())


def _drop_empty(items: Any, inside: str) -> None:
    for place in reversed(range(len(items))):
        if not getattr(items[place], inside):
            del items[place]


def json_line(signal: Signal, payload: bytes) -> bytes:
    """Return a request as one line of JSON, with its line feed.

    Args:
        signal: What it carries.
        payload: The request in protobuf.

    Raises:
        EvidenceError: It is not a request of that signal.
    """
    message = parse_as(TYPES[signal], payload)
    data = json_format.MessageToDict(message, use_integers_for_enums=True)
    _write_ids(data)
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.encode() + b"\n"


def _write_ids(data: Any) -> None:
    """Turn ids from base64 into hexadecimal, in place and at any depth."""
    waiting = [data]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += item
        elif isinstance(item, dict):
            for key, value in item.items():
                # A key of an attribute is a value here: only fields have these names.
                if key in _ID_NAMES:
                    item[key] = base64.b64decode(value).hex()
                else:
                    waiting.append(value)


def delimited(payload: bytes) -> bytes:
    """Return a request in the length-delimited form."""
    length, head = len(payload), bytearray()
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head) + payload


def count_spans(signal: Signal, payload: bytes) -> int:
    """Return how many spans a request holds; none unless it carries traces."""
    if signal != "traces":
        return 0
    request = parse_as(ExportTraceServiceRequest, payload)
    return sum(
        len(scope.spans)
        for batch in request.resource_spans
        for scope in batch.scope_spans
    )
