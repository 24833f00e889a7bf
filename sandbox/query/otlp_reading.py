"""OTLP files as requests, each checked as the recorder will check it.

Rules of this module, from the OpenTelemetry Protocol File Exporter:

* A line is one `TracesData`, `MetricsData` or `LogsData` in UTF-8; a file holds one of
  the three and nothing else. Lines without anything are passed over.
* A length-delimited request is `varint(length) || bytes`.
* What is read is checked by the functions the recorder itself uses.
* Reading goes on after something bad, so that everything bad is found; only where a
  length is wrong, nobody knows where the next request begins.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from sandbox.errors import EvidenceError
from sandbox.model.segment import Signal
from sandbox.query.otlp_file import count_spans
from sandbox.recorder.otlp_json import from_json
from sandbox.recorder.request import check_request

LONGEST_REQUEST = 20 * 1024 * 1024
"""Bytes of the longest request that is read; the recorder takes no longer ones."""
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
