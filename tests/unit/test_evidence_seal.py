"""Sealing: everything a statement says comes out of the bytes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from sandbox.errors import EvidenceError
from sandbox.evidence.attest import SEGMENT_PREDICATE, open_envelope, read_statement
from sandbox.evidence.merkle import root_hash
from sandbox.evidence.seal import seal_segment, segment_entry
from sandbox.evidence.walk import walk_frames
from sandbox.model.record import digest_of
from sandbox.model.segment import EvidenceSegment, Gap, SealedSegment
from sandbox.recorder import (
    RECORDER,
    decode_frames,
    encode_frame,
    gap_request,
    spans_in,
)
from sandbox.testing.signer import ThrowawaySigner

AT = datetime(2026, 1, 1, tzinfo=UTC)
SIGNER = ThrowawaySigner()
RULEBOOK = digest_of(b"rulebook")


def traces(spans: int) -> bytes:
    request = ExportTraceServiceRequest()
    for number in range(spans):
        scope = request.resource_spans.add(schema_url="u").scope_spans.add()
        scope.scope.name = "scope"
        scope.spans.add(name=f"span {number}", start_time_unix_nano=number)
        scope.schema_url = "v"
    return request.SerializeToString()


def frames_of(*items: tuple[str, str, bytes]) -> list[bytes]:
    return [
        encode_frame(
            payload,
            signal=signal,  # type: ignore[arg-type]
            producer=producer,
            sequence=number,
            received_at=AT + timedelta(seconds=number, microseconds=number % 2),
        )
        for number, (signal, producer, payload) in enumerate(items, start=1)
    ]


GAP = Gap(producer=RECORDER, reason="recorder-down", detail="down", since=AT, until=AT)
FRAMES = frames_of(
    ("traces", "b", traces(3)),
    ("metrics", "a", b""),
    ("traces", "b", traces(2)),
    ("logs", RECORDER, gap_request(GAP, at=AT)),
)


def seal(raw: bytes) -> EvidenceSegment:
    return seal_segment(
        raw, trial_id="t", number=4, rulebook_digest=RULEBOOK, signer=SIGNER
    ).segment


def test_a_sealed_segment_says_what_is_in_it() -> None:
    """Counts, signals, producers, times, gaps, root and digests."""
    raw = b"".join(FRAMES)
    segment = seal(raw)
    assert (segment.frames, segment.spans) == (4, 5)
    assert segment.signals == {"traces": 2, "metrics": 1, "logs": 1}
    assert [(item.producer, item.frames) for item in segment.producers] == [
        (RECORDER, 1),
        ("a", 1),
        ("b", 2),
    ]
    assert segment.first_received_at == AT + timedelta(seconds=1, microseconds=1)
    assert segment.last_received_at == AT + timedelta(seconds=4)
    assert segment.gaps == (GAP,)
    assert segment.frames_root == f"sha256:{root_hash(FRAMES).hex()}"
    assert (segment.raw_digest, segment.raw_size) == (digest_of(raw), len(raw))


def test_the_statement_holds_the_segment_and_both_digests() -> None:
    """The envelope opens to the same words; the entry carries its digest."""
    sealed = seal_segment(
        b"".join(FRAMES),
        trial_id="t",
        number=4,
        rulebook_digest=RULEBOOK,
        signer=SIGNER,
    )
    payload = open_envelope(sealed.envelope, [SIGNER.public_key], what="e")
    said = read_statement(payload, predicate_type=SEGMENT_PREDICATE, what="s")
    assert EvidenceSegment.model_validate(said["predicate"]) == sealed.segment
    assert said["subject"][0]["name"] == "000004.zst"
    digest = said["subject"][0]["digest"]["sha256"]
    assert f"sha256:{digest}" == digest_of(sealed.compressed)
    assert zstandard.ZstdDecompressor().decompress(sealed.compressed) == b"".join(
        FRAMES
    )
    entry = segment_entry(sealed, recorded_at=AT)
    assert entry.entry_id == "t/segment/000004"
    body = SealedSegment.model_validate(json.loads(json.dumps(entry.body)))
    assert body.statement_digest == digest_of(payload)


def test_sealing_again_gives_the_same_bytes() -> None:
    """Same raw file, key and library: an interrupted sealing can be repeated."""
    raw = b"".join(FRAMES)
    first, second = (
        seal_segment(raw, trial_id="t", number=1, rulebook_digest=RULEBOOK, signer=key)
        for key in (SIGNER, ThrowawaySigner())
    )
    assert first == second


def test_what_is_not_a_whole_segment_is_not_sealed() -> None:
    """Empty, cut off, or damaged: each says where."""
    raw = b"".join(FRAMES)
    with pytest.raises(EvidenceError, match="000004.closed is empty"):
        seal(b"")
    with pytest.raises(EvidenceError, match=r"middle of a frame at byte \d+"):
        seal(raw[:-1])
    with pytest.raises(EvidenceError, match="000004.closed: frame 0"):
        seal(raw[:20] + bytes([raw[20] ^ 1]) + raw[21:])


def test_the_verifiers_own_reader_agrees_with_the_recorders() -> None:
    """Two readers that share no code see the same frames and spans."""
    raw = b"".join(FRAMES)
    frames, _ = decode_frames(raw)
    walked = walk_frames(raw)
    assert [raw[item.start : item.end] for item in walked] == FRAMES
    assert [
        (item.signal, item.producer, item.sequence, item.spans) for item in walked
    ] == [
        (frame.signal, frame.producer, frame.sequence, len(spans_in(frame)))
        for frame in frames
    ]


@given(
    st.lists(
        st.lists(st.sampled_from([0, 1, 100, 123, 124, 125, 126, 16_379, 16_381])),
        max_size=3,
    )
)
@settings(max_examples=60, deadline=None)
def test_the_verifiers_reader_counts_spans_of_any_length(scopes: list[Any]) -> None:
    """Spans whose lengths take one byte, two or three are each counted once."""
    request = ExportTraceServiceRequest()
    batch = request.resource_spans.add(schema_url="s")
    for names in scopes:
        scope = batch.scope_spans.add(schema_url="s" * len(names))
        scope.scope.name = "scope"
        for length in names:
            scope.spans.add(name="n" * length)
    frame = encode_frame(
        request.SerializeToString(),
        signal="traces",
        producer="p",
        sequence=1,
        received_at=AT,
    )
    assert [item.spans for item in walk_frames(frame)] == [sum(map(len, scopes))]


def test_the_verifiers_reader_refuses_what_is_not_whole() -> None:
    """Cut anywhere inside the last frame, it says so instead of counting less."""
    raw = FRAMES[0] + FRAMES[2]
    for cut in range(len(FRAMES[0]) + 1, len(raw)):
        with pytest.raises(EvidenceError):
            walk_frames(raw[:cut])
