"""The frame: one OTLP request as it came, and who sent it when.

Rules of this module:

* A segment file is a run of frames `varint(length) || message`; it stays a plain stream
  of length-delimited OTLP requests that any protobuf reader can read.
* A message is the request's bytes, unchanged, followed by one trailer. The trailer is a
  length-delimited field whose number lies in the range 19000-19999, which the protobuf
  language forbids every schema to declare, so no version of OTLP can ever mean it.
* The trailer has a fixed size: it is found from the end of the message, whatever the
  request contains.
* CRC-32C covers the request and the rest of the trailer (RFC 3720, section 12.1).
* A torn tail is not an error and is not consumed; damage is an error.

Layout of the trailer's value, little-endian: version (1 byte), signal (1), microseconds
since 1970 UTC (8), producer (64, UTF-8, padded with NUL), sequence (8), length of the
request (4), CRC-32C (4).
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import google_crc32c

from sandbox.errors import EvidenceError, RecorderError
from sandbox.model.segment import Signal

TRAILER_FIELD = 19962
"""Number of the trailer's protobuf field."""
MAX_FRAME_BYTES = 64 * 1024 * 1024
"""A longer frame is never written, so a longer length is damage."""
MAX_PRODUCER_BYTES = 64

_BODY = struct.Struct("<BBQ64sQI")
_CRC = struct.Struct("<I")
_BODY_BYTES = _BODY.size + _CRC.size
_VERSION = 1
_CODES: dict[Signal, int] = {"traces": 1, "metrics": 2, "logs": 3}
_SIGNALS: dict[int, Signal] = {code: signal for signal, code in _CODES.items()}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LAST_MICRO = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND


class Frame(NamedTuple):
    """One recorded request with its place in the segment."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs
    """Number in the segment, from 0."""
    offset: int
    """Where the frame begins in the raw segment, in bytes."""
    signal: Signal
    producer: str
    """Whom the token named."""
    received_at: datetime
    """When the recorder had read it, in UTC."""
    payload: bytes
    """The OTLP request exactly as received."""
    sequence: int
    """Number of the frame within its trial, from 1, without holes."""


class Salvage(NamedTuple):
    """What can be read of a segment that may be damaged."""

    frames: list[Frame]
    consumed: int
    """Bytes of the frames read; the rest cannot be read."""
    damage: str
    """Why reading stopped before the end; empty when it did not."""


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_PREFIX = _varint(TRAILER_FIELD << 3 | 2) + _varint(_BODY_BYTES)
TRAILER_BYTES = len(_PREFIX) + _BODY_BYTES
"""Size of the whole trailer field, in bytes."""


def encode_frame(
    payload: bytes,
    *,
    signal: Signal,
    producer: str,
    sequence: int,
    received_at: datetime,
) -> bytes:
    """Return the frame of one request.

    Args:
        payload: The request exactly as received.
        signal: What the request carries.
        producer: Whom the token named; at most 64 bytes of UTF-8.
        sequence: Number of the frame within its trial, from 1.
        received_at: When it had been read; kept to the microsecond.

    Raises:
        RecorderError: The producer's name or the request is too long.
    """
    name = _producer_bytes(producer)
    if len(payload) + TRAILER_BYTES > MAX_FRAME_BYTES:
        raise RecorderError(
            f"a request of {len(payload)} bytes is longer than a frame may be "
            f"({MAX_FRAME_BYTES} bytes); send smaller batches",
            retryable=False,
        )
    micros = (received_at - _EPOCH) // _MICROSECOND
    code = _CODES[signal]
    body = _BODY.pack(_VERSION, code, micros, name, sequence, len(payload))
    crc = _CRC.pack(google_crc32c.extend(google_crc32c.value(payload), body))
    length = _varint(len(payload) + TRAILER_BYTES)
    return b"".join((length, payload, _PREFIX, body, crc))


def _producer_bytes(producer: str) -> bytes:
    name = producer.encode()
    if not name or len(name) > MAX_PRODUCER_BYTES or b"\0" in name:
        raise RecorderError(
            f"the producer {producer!r} cannot be recorded; its name must have 1 to "
            f"{MAX_PRODUCER_BYTES} bytes and no NUL: enrol it under a shorter name",
            retryable=False,
        )
    return name


def decode_frames(
    data: bytes, *, start_index: int = 0, start_offset: int = 0
) -> tuple[list[Frame], int]:
    """Read every complete frame.

    Args:
        data: Bytes of a segment, beginning at a frame.
        start_index: Number of the first frame.
        start_offset: Where `data` begins in the segment, in bytes.

    Returns:
        The frames, and how many bytes of `data` they take; what follows is the
        beginning of a frame that is not yet complete.

    Raises:
        EvidenceError: A frame is damaged; says at which byte.
    """
    salvage = salvage_frames(data, start_index=start_index, start_offset=start_offset)
    rest = len(data) - salvage.consumed
    if salvage.damage and not _is_torn(data[salvage.consumed :], rest):
        raise EvidenceError(salvage.damage)
    return salvage.frames, salvage.consumed


def salvage_frames(
    data: bytes, *, start_index: int = 0, start_offset: int = 0
) -> Salvage:
    """Read frames up to the end or to the first that is damaged or incomplete.

    Args:
        data: Bytes of a segment, beginning at a frame.
        start_index: Number of the first frame.
        start_offset: Where `data` begins in the segment, in bytes.
    """
    frames: list[Frame] = []
    position = 0
    while position < len(data):
        index, offset = start_index + len(frames), start_offset + position
        try:
            end = _frame_end(data, position)
            if end is None or end > len(data):
                return Salvage(frames, position, f"frame {index} is not complete")
            frames.append(_decode(data, position, end, index=index, offset=offset))
        except EvidenceError as error:
            damage = f"frame {index} at byte {offset}: {error.diagnosis}"
            return Salvage(frames, position, damage)
        position = end
    return Salvage(frames, position, "")


def final_sequence(data: bytes) -> int | None:
    """Return the number of the frame that ends `data`, whatever comes before it.

    None where the data do not end in a frame whose checksum holds.
    """
    body_at, crc_at = len(data) - _BODY_BYTES, len(data) - _CRC.size
    if body_at < len(_PREFIX) or data[body_at - len(_PREFIX) : body_at] != _PREFIX:
        return None
    _, _, _, _, sequence, size = _BODY.unpack_from(data, body_at)
    start = body_at - len(_PREFIX) - size
    if start < 0:
        return None
    payload = google_crc32c.value(data[start : start + size])
    crc = google_crc32c.extend(payload, data[body_at:crc_at])
    return int(sequence) if crc == _CRC.unpack_from(data, crc_at)[0] else None


def _is_torn(rest: bytes, size: int) -> bool:
    try:
        end = _frame_end(rest, 0)
    except EvidenceError:
        return False
    return end is None or end > size


def _read_varint(data: bytes, position: int) -> tuple[int, int] | None:
    value = shift = 0
    for place in range(position, min(position + 5, len(data))):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place + 1
        shift += 7
    if len(data) - position >= 5:
        raise EvidenceError("its length cannot be read")
    return None


def _frame_end(data: bytes, position: int) -> int | None:
    read = _read_varint(data, position)
    if read is None:
        return None
    length, start = read
    if not TRAILER_BYTES <= length <= MAX_FRAME_BYTES:
        raise EvidenceError(f"its length {length} is not that of a frame")
    return start + length


def _decode(data: bytes, position: int, end: int, *, index: int, offset: int) -> Frame:
    trailer = end - TRAILER_BYTES
    body_at = end - _BODY_BYTES
    crc_at = end - _CRC.size
    if data[trailer:body_at] != _PREFIX:
        raise EvidenceError("it does not end in a trailer")
    version, code, micros, name, sequence, size = _BODY.unpack_from(data, body_at)
    start = trailer - size
    prefix = _varint(end - start) if start > position else b""
    if data[position:start] != prefix or not prefix:
        raise EvidenceError("its two lengths disagree")
    payload = data[start:trailer]
    crc = google_crc32c.extend(google_crc32c.value(payload), data[body_at:crc_at])
    if crc != _CRC.unpack_from(data, crc_at)[0]:
        raise EvidenceError("its checksum (CRC-32C) does not match its bytes")
    if version != _VERSION or code not in _SIGNALS or micros > _LAST_MICRO:
        raise EvidenceError("its trailer has a version, signal or time not known here")
    return Frame(
        index=index,
        offset=offset,
        signal=_SIGNALS[code],
        producer=name.rstrip(b"\0").decode(errors="replace"),
        received_at=_EPOCH + timedelta(microseconds=micros),
        payload=payload,
        sequence=sequence,
    )
