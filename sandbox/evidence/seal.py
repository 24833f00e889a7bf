"""From a closed segment to sealed evidence.

Rules of this module:

* Everything the statement says is derived from the raw bytes; nothing is believed.
* The Merkle root is over whole frames, each with its length prefix, so the leaves are
  the raw file cut into pieces (RFC 6962 hashing).
* The statement covers the digests of the raw and of the compressed file.
* The same bytes, key and library give the same sealed segment; where the library may
  be another by now, what was made before is opened again (`reopen`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import zstandard

from sandbox.errors import EvidenceError
from sandbox.evidence.attest import (
    SEGMENT_PREDICATE,
    Subject,
    open_envelope,
    read_statement,
    sign_statement,
    statement,
)
from sandbox.evidence.merkle import leaf_hash, root_of_hashes
from sandbox.model.log import LogEntry
from sandbox.model.record import digest_of
from sandbox.model.segment import EvidenceSegment, ProducerRange, SealedSegment
from sandbox.ports import Signer
from sandbox.recorder import Frame, count_spans, decode_frames, file_name, gaps_in

ZSTD_LEVEL = 3


class Sealed(NamedTuple):
    """A sealed segment: what it says, and the two files it becomes."""

    segment: EvidenceSegment
    compressed: bytes
    envelope: bytes
    statement_digest: str

    def record(self) -> SealedSegment:
        """Return where it lies, as a record; the body of its log entry."""
        number = self.segment.number
        return SealedSegment(
            segment=self.segment,
            file=file_name(number, "zst"),
            attestation=file_name(number, "dsse.json"),
            statement_digest=self.statement_digest,
        )


def seal_segment(
    raw: bytes, *, trial_id: str, number: int, rulebook_digest: str, signer: Signer
) -> Sealed:
    """Compress a closed segment and sign what it contains.

    Args:
        raw: The raw file, whole.
        trial_id: Whose segment it is.
        number: Its number in the trial, from 1.
        rulebook_digest: Digest of the rulebook version in force for the trial.
        signer: Holder of the key that signs.

    Raises:
        EvidenceError: The file is empty, damaged, or ends in the middle of a frame.
    """
    frames = whole_frames(raw, number)
    compressed = zstandard.ZstdCompressor(
        level=ZSTD_LEVEL, write_checksum=True, write_content_size=True
    ).compress(raw)
    segment = EvidenceSegment(
        trial_id=trial_id,
        number=number,
        rulebook_digest=rulebook_digest,
        raw_digest=digest_of(raw),
        raw_size=len(raw),
        compressed_digest=digest_of(compressed),
        compressed_size=len(compressed),
        frames_root=f"sha256:{frames_root(raw, frames).hex()}",
        **_contents(frames),
    )
    payload = _statement(segment)
    signed = sign_statement(payload, signer)
    return Sealed(segment, compressed, signed.envelope, signed.statement_digest)


def reopen(compressed: bytes, envelope: bytes, *, raw: bytes, signer: Signer) -> Sealed:
    """Return a sealed segment that was made before, of the same raw bytes.

    Args:
        compressed: The compressed file.
        envelope: The envelope of its statement.
        raw: The raw file, whole.
        signer: Holder of the key that signed it.

    Raises:
        EvidenceError: It is not whole, of other bytes, or signed by another key.
    """
    what = "the statement of a staged segment"
    payload = open_envelope(envelope, [signer.public_key], what=what)
    data = read_statement(payload, predicate_type=SEGMENT_PREDICATE, what=what)
    try:
        segment = EvidenceSegment.model_validate(data["predicate"])
    except (KeyError, ValueError) as error:
        raise EvidenceError(f"{what} says nothing of a segment") from error
    said = (segment.raw_digest, segment.compressed_digest)
    if said != (digest_of(raw), digest_of(compressed)):
        raise EvidenceError(f"{what} is of other bytes")
    return Sealed(segment, compressed, envelope, digest_of(payload))


def whole_frames(raw: bytes, number: int) -> list[Frame]:
    """Return the frames of a closed segment.

    Raises:
        EvidenceError: The file is empty, damaged, or ends in the middle of a frame.
    """
    name = file_name(number, "closed")
    try:
        frames, consumed = decode_frames(raw)
    except EvidenceError as error:
        raise EvidenceError(f"segment {name}: {error.diagnosis}") from error
    if consumed != len(raw):
        raise EvidenceError(
            f"segment {name} ends in the middle of a frame at byte {consumed}; a "
            "closed segment never does, so it was cut or changed after it was closed"
        )
    if not frames:
        raise EvidenceError(f"segment {name} is empty; there is nothing to seal")
    return frames


def frames_root(raw: bytes, frames: Sequence[Frame]) -> bytes:
    """Return the Merkle root over the frames of a raw segment."""
    starts = [frame.offset for frame in frames]
    ends = [*starts[1:], len(raw)]
    pieces = zip(starts, ends, strict=True)
    return root_of_hashes([leaf_hash(raw[start:end]) for start, end in pieces])


def _contents(frames: Sequence[Frame]) -> dict[str, Any]:
    return {
        "frames": len(frames),
        "spans": sum(count_spans(frame) for frame in frames),
        "signals": dict(Counter(frame.signal for frame in frames)),
        "first_sequence": frames[0].sequence,
        "last_sequence": frames[-1].sequence,
        "first_received_at": min(frame.received_at for frame in frames),
        "last_received_at": max(frame.received_at for frame in frames),
        "producers": _producers(frames),
        "gaps": gaps_in(frames),
    }


def _producers(frames: Sequence[Frame]) -> tuple[ProducerRange, ...]:
    times: dict[str, list[datetime]] = {}
    for frame in frames:
        times.setdefault(frame.producer, []).append(frame.received_at)
    return tuple(
        ProducerRange(
            producer=producer,
            frames=len(received),
            first_received_at=min(received),
            last_received_at=max(received),
        )
        for producer, received in sorted(times.items())
    )


def _statement(segment: EvidenceSegment) -> bytes:
    subjects = [
        Subject(file_name(segment.number, "zst"), segment.compressed_digest),
        Subject(f"{segment.trial_id}/{segment.number:06d}", segment.raw_digest),
    ]
    return statement(
        subjects,
        predicate_type=SEGMENT_PREDICATE,
        predicate=segment.model_dump(mode="json"),
    )


def segment_entry(sealed: Sealed, *, recorded_at: datetime) -> LogEntry:
    """Return the log entry of a sealed segment.

    Args:
        sealed: The segment.
        recorded_at: When it was sealed.
    """
    record = sealed.record()
    return LogEntry(
        kind="segment",
        entry_id=f"{record.segment.trial_id}/segment/{record.segment.number:06d}",
        trial_id=record.segment.trial_id,
        recorded_at=recorded_at,
        body=record.model_dump(mode="json"),
    )
