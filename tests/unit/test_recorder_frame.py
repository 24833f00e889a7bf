"""Frames: exact bytes in and out; damage is seen, a torn tail is not damage."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from sandbox.errors import EvidenceError, RecorderError
from sandbox.model.segment import Signal
from sandbox.recorder import decode_frames, encode_frame, salvage_frames

AT = datetime(2026, 1, 1, 12, 30, 0, 123456, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SIGNALS: list[Signal] = ["traces", "metrics", "logs"]


def frame(payload: bytes = b"abc", sequence: int = 1) -> bytes:
    return encode_frame(
        payload, signal="traces", producer="p", sequence=sequence, received_at=AT
    )


@given(
    st.lists(
        st.tuples(
            st.binary(max_size=400),
            st.sampled_from(SIGNALS),
            st.text(min_size=1, max_size=16).filter(lambda name: "\0" not in name),
            st.integers(0, 2**57).map(lambda us: EPOCH + timedelta(microseconds=us)),
        ),
        max_size=6,
    )
)
def test_what_is_encoded_is_decoded_unchanged(
    items: list[tuple[bytes, Signal, str, datetime]],
) -> None:
    """Every field of every frame comes back, with its index and offset."""
    encoded = [
        encode_frame(
            payload,
            signal=signal,
            producer=producer,
            sequence=number,
            received_at=at,
        )
        for number, (payload, signal, producer, at) in enumerate(items, start=1)
    ]
    frames, consumed = decode_frames(b"".join(encoded))
    assert consumed == sum(map(len, encoded))
    assert [
        (item.payload, item.signal, item.producer, item.received_at) for item in frames
    ] == items
    assert [item.sequence for item in frames] == list(range(1, len(items) + 1))
    assert [item.offset for item in frames] == [
        sum(map(len, encoded[:number])) for number in range(len(items))
    ]


def test_a_torn_tail_is_not_consumed_at_any_length() -> None:
    """Cut anywhere in the second frame, only the first is read, without an error."""
    first, second = frame(b"x" * 200), frame(b"y" * 200, 2)
    for cut in range(len(second)):
        frames, consumed = decode_frames(first + second[:cut])
        assert (len(frames), consumed) == (1, len(first))


def test_reading_goes_on_where_it_stopped() -> None:
    """With start index and offset, a tail gives the same frames as the whole."""
    data = frame(b"a") + frame(b"b", 2) + frame(b"c", 3)
    whole, _ = decode_frames(data)
    head, consumed = decode_frames(data[: len(data) - 5])
    tail, _ = decode_frames(
        data[consumed:], start_index=len(head), start_offset=consumed
    )
    assert head + tail == whole


def test_every_flipped_bit_is_seen() -> None:
    """A frame never reads as whole and different: it is damaged, or not complete."""
    data = frame(b"some payload") + frame(b"next", 2)
    first = len(frame(b"some payload"))
    original, _ = decode_frames(data)
    for place in range(first):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            try:
                frames, _ = decode_frames(bytes(flipped))
            except EvidenceError as error:
                assert "byte 0" in error.diagnosis
            else:
                assert frames == [], (place, bit, original)


def test_damage_names_frame_and_byte() -> None:
    """The message says which frame and where it begins."""
    first, second = frame(b"a"), frame(b"b", 2)
    damaged = first + second[:-1] + bytes([second[-1] ^ 1])
    with pytest.raises(EvidenceError, match=f"frame 1 at byte {len(first)}: .*CRC"):
        decode_frames(damaged)
    salvage = salvage_frames(damaged)
    assert len(salvage.frames) == 1
    assert (salvage.consumed, "CRC" in salvage.damage) == (len(first), True)


def test_a_segment_stays_a_plain_stream_of_otlp_requests() -> None:
    """Any protobuf reader reads the message and passes over the trailer."""
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(name="dispatch" * 9)
    data = frame(request.SerializeToString())
    length, start = (data[0] & 0x7F) | data[1] << 7, 2
    read = ExportTraceServiceRequest.FromString(data[start : start + length])
    read.DiscardUnknownFields()
    assert read == request


def test_a_trailer_inside_a_request_does_not_deceive() -> None:
    """A producer that sends a frame as its request is recorded as what it sent."""
    inner = frame(b"inner", 7)
    (outer,), _ = decode_frames(frame(inner, 1))
    assert (outer.payload, outer.sequence) == (inner, 1)


@pytest.mark.parametrize("producer", ["", "x" * 65, "ü" * 33, "a\0b"])
def test_a_name_that_does_not_fit_is_refused(producer: str) -> None:
    """A producer's name is never cut."""
    with pytest.raises(RecorderError, match="cannot be recorded"):
        encode_frame(b"", signal="logs", producer=producer, sequence=1, received_at=AT)


def test_times_keep_their_microsecond() -> None:
    """Received-at is exact to the microsecond, in any time zone."""
    at = AT + timedelta(days=40000, microseconds=1)
    data = encode_frame(b"", signal="logs", producer="p", sequence=1, received_at=at)
    ((read,), _) = decode_frames(data)
    assert read.received_at == at
