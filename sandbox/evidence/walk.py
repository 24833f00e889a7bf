"""A second, small reader of raw segments, for the verifier.

Rules of this module:

* It shares no code with the recorder: what it counts is a second opinion.
* It reads the protobuf wire format only as far as counting needs it (protobuf encoding
  guide; OTLP field numbers of `ExportTraceServiceRequest`).
* Anything that does not read as expected is an error that names the byte.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from sandbox.errors import EvidenceError

_TRAILER_TAG = b"\xd2\xdf\x09\x5a"
"""Field 19962, length-delimited, 90 bytes: how every trailer begins."""
_TRAILER = struct.Struct("<BBQ64sQII")
_TRACES = 1
_SPANS = 2 << 3 | 2
"""Tag of `spans` in `ScopeSpans`."""
_NAMES = {1: "traces", 2: "metrics", 3: "logs"}


class WalkedFrame(NamedTuple):
    """One frame as the verifier sees it."""

    start: int
    end: int
    signal: str
    producer: str
    sequence: int
    received_us: int
    """Microseconds since 1970, UTC."""
    spans: int


def walk_frames(raw: bytes) -> list[WalkedFrame]:
    """Read every frame of a whole raw segment.

    Raises:
        EvidenceError: It is not a whole number of frames.
    """
    frames: list[WalkedFrame] = []
    position = 0
    while position < len(raw):
        try:
            frame = _frame(raw, position)
        except (IndexError, struct.error) as error:
            raise EvidenceError(f"the frame at byte {position} is cut off") from error
        frames.append(frame)
        position = frame.end
    return frames


def _frame(raw: bytes, position: int) -> WalkedFrame:
    length, start = _varint(raw, position)
    end = start + length
    body = end - _TRAILER.size
    trailer = body - len(_TRAILER_TAG)
    if end > len(raw) or trailer < start or raw[trailer:body] != _TRAILER_TAG:
        raise EvidenceError(f"the bytes at {position} are not a frame with a trailer")
    _, code, micros, name, sequence, size, _ = _TRAILER.unpack_from(raw, body)
    if size != trailer - start or code not in _NAMES:
        raise EvidenceError(f"the trailer of the frame at byte {position} is wrong")
    return WalkedFrame(
        start=position,
        end=end,
        signal=_NAMES[code],
        producer=name.rstrip(b"\0").decode(errors="replace"),
        sequence=sequence,
        received_us=micros,
        spans=_count_spans(raw, start, trailer) if code == _TRACES else 0,
    )


def _count_spans(raw: bytes, start: int, end: int) -> int:
    # resource_spans (1) hold scope_spans (2), which hold spans (2).
    return sum(
        _count_fields(raw, scope, _SPANS)
        for batch in _submessages(raw, (start, end), 1)
        for scope in _submessages(raw, batch, 2)
    )


def _count_fields(raw: bytes, span: tuple[int, int], wanted: int) -> int:
    """Count the submessages that begin with a tag of one byte."""
    position, end = span
    count = 0
    while position < end:
        # Nearly every field is a span of 128 to 16,383 bytes: a length of two bytes.
        if raw[position] == wanted and raw[position + 1] > 0x7F > raw[position + 2]:
            position += 3 + (raw[position + 1] & 0x7F | raw[position + 2] << 7)
            count += 1
            continue
        tag, position = _varint(raw, position)
        if tag & 7 == 2:
            length, position = _varint(raw, position)
            position += length
            count += tag == wanted
        else:
            position = _skip(raw, position, tag & 7)
    _check_end(position, end)
    return count


def _submessages(
    raw: bytes, span: tuple[int, int], field: int
) -> Iterator[tuple[int, int]]:
    position, end = span
    while position < end:
        tag, position = _varint(raw, position)
        kind = tag & 7
        if kind == 2:
            length, position = _varint(raw, position)
            if tag >> 3 == field:
                yield position, position + length
            position += length
        else:
            position = _skip(raw, position, kind)
    _check_end(position, end)


def _check_end(position: int, end: int) -> None:
    if position != end:
        raise EvidenceError(f"a field runs over the end of its message at {end}")


def _skip(raw: bytes, position: int, kind: int) -> int:
    if kind == 0:
        return _varint(raw, position)[1]
    if kind == 1:
        return position + 8
    if kind == 5:
        return position + 4
    raise EvidenceError(f"a field at byte {position} has the unknown wire type {kind}")


def _varint(raw: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise EvidenceError(f"a number at byte {position} has too many bytes")
