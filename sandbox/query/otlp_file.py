"""OTLP in files: requests as JSON lines or length-delimited protobuf, and back.

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
* What is read is checked as the recorder does, by the same functions.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from sandbox.errors import EvidenceError
from sandbox.model.segment import Signal
from sandbox.query.selection import Chosen
from sandbox.recorder.frame import Frame
from sandbox.recorder.otlp_json import from_json
from sandbox.recorder.request import (
    ORIGIN_PREFIX,
    TYPES,
    check_request,
    claims_origin,
    parse_as,
)

LONGEST_REQUEST = 20 * 1024 * 1024
"""Bytes of the longest request that is read; the recorder takes no longer ones."""
_ORIGIN_BYTES = len(ORIGIN_PREFIX) + 32
_ID_NAMES = frozenset({"traceId", "spanId", "parentSpanId"})
_SIGNALS: dict[str, Signal] = {
    "resourceSpans": "traces",
    "resourceMetrics": "metrics",
    "resourceLogs": "logs",
}


class Readable(Protocol):
    """A file of bytes, as far as reading it needs one."""

    def read(self, size: int, /) -> bytes:
        """Return at most so many bytes; none at the end."""
        ...

    def readline(self, size: int, /) -> bytes:
        """Return at most so many bytes, up to a line feed; none at the end."""
        ...


class FileRequest(NamedTuple):
    """One request of a file, checked as the recorder will check it."""

    number: int
    """Line, or place among the requests, counted from 1."""
    signal: Signal
    body: bytes
    """The line, or the request in protobuf: what is sent to the recorder."""
    spans: int


class Body(NamedTuple):
    """One request of a file, not yet read."""

    number: int
    """Line, or place among the requests, counted from 1."""
    data: bytes


class BadRequest(NamedTuple):
    """Something in a file that the recorder would refuse."""

    number: int
    """Line, or place among the requests, counted from 1."""
    reason: str


Read = FileRequest | BadRequest


def as_sent(frame: Frame) -> bytes:
    """Return a recorded request as its sender would send it again, in protobuf.

    Raises:
        EvidenceError: The frame's payload is not a request of its signal.
    """
    if claims_origin(frame.signal, frame.payload):
        return frame.payload[:-_ORIGIN_BYTES]
    return frame.payload


def payload_of(chosen: Chosen) -> bytes:
    """Return a request as its sender would send it, with the spans that are meant.

    Raises:
        EvidenceError: The frame's payload is not a request of its signal.
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


def read_json_lines(file: Readable) -> Iterator[Read]:
    """Read a file of JSON lines to its end, whatever is wrong in between.

    Args:
        file: The file, at its beginning.
    """
    first: Signal | None = None
    for line in split_lines(file):
        if isinstance(line, BadRequest):
            yield line
            continue
        try:
            found = _read_line(line)
            first = first or found.signal
            _check_one_signal(found.signal, first)
        except EvidenceError as error:
            yield BadRequest(line.number, error.diagnosis)
        else:
            yield found


def split_lines(file: Readable) -> Iterator[Body | BadRequest]:
    """Yield the lines of a file that hold something, unread.

    Args:
        file: The file, at its beginning.
    """
    number = 0
    while line := file.readline(LONGEST_REQUEST + 2):
        number += 1
        if len(line.rstrip(b"\r\n")) > LONGEST_REQUEST:
            _skip_line(file, line)
            yield BadRequest(number, _too_long())
        elif line.strip():
            yield Body(number, line.rstrip(b"\r\n"))


def _skip_line(file: Readable, line: bytes) -> None:
    while line and not line.endswith(b"\n"):
        line = file.readline(LONGEST_REQUEST)


def _read_line(line: Body) -> FileRequest:
    signal = _signal_of(line.data)
    payload = from_json(signal, line.data).payload
    check_request(signal, payload)
    spans = count_spans(signal, payload)
    return FileRequest(line.number, signal, line.data, spans)


def _signal_of(line: bytes) -> Signal:
    try:
        data = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise EvidenceError(f"it is not JSON in UTF-8: {error}") from error
    names = set(data) & set(_SIGNALS) if isinstance(data, dict) else set()
    if len(names) != 1:
        raise EvidenceError(
            f"it holds {len(names)} of {', '.join(_SIGNALS)}; a line has exactly one"
        )
    return _SIGNALS[names.pop()]


def _check_one_signal(signal: Signal, first: Signal) -> None:
    if signal != first:
        raise EvidenceError(
            f"it holds {signal}, and the file began with {first}; a file has one kind "
            "of data"
        )


def read_delimited(file: Readable, signal: Signal) -> Iterator[Read]:
    """Read a file of length-delimited requests up to its end, or where it breaks off.

    Args:
        file: The file, at its beginning.
        signal: What its requests carry; they do not say so themselves.
    """
    for item in split_delimited(file):
        if isinstance(item, BadRequest):
            yield item
            continue
        try:
            check_request(signal, item.data)
        except EvidenceError as error:
            yield BadRequest(item.number, error.diagnosis)
        else:
            spans = count_spans(signal, item.data)
            yield FileRequest(item.number, signal, item.data, spans)


def split_delimited(file: Readable) -> Iterator[Body | BadRequest]:
    """Yield the requests of a file, unread, up to its end or where it breaks off.

    Args:
        file: The file, at its beginning.
    """
    number = 0
    while head := file.read(1):
        number += 1
        try:
            yield Body(number, _read_payload(file, head))
        except EvidenceError as error:
            # Where the next request would begin is not known any more.
            yield BadRequest(number, error.diagnosis)
            return


def _read_payload(file: Readable, head: bytes) -> bytes:
    length = shift = 0
    while True:
        length |= (head[0] & 0x7F) << shift
        if head[0] < 0x80:
            break
        shift += 7
        head = file.read(1)
        if not head or shift > 28:
            raise EvidenceError("its length cannot be read")
    if length > LONGEST_REQUEST:
        raise EvidenceError(_too_long())
    payload = file.read(length)
    if len(payload) < length:
        raise EvidenceError(f"it has {len(payload)} of its {length} bytes")
    return payload


def _too_long() -> str:
    return f"it has more than {LONGEST_REQUEST} bytes; write smaller requests"


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
