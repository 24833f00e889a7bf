"""Checks one sealed segment against its statement and the log, from its bytes.

Rules of this module:

* Nothing the statement says of the frames is believed: digests, Merkle root, frames,
  spans, signals, producers and times are computed again.
* The log entry carries the same words as the statement, and the statement's digest.
* The digest of the stored, compressed file is not checked: a bundle holds the raw bytes
  packed in another way, and their digest is.
* Frames are numbered through the whole trial from 1 without a hole, so a frame or a
  segment that was taken out is missed.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sandbox.errors import EvidenceError
from sandbox.evidence.attest import SEGMENT_PREDICATE, read_statement, sha256
from sandbox.evidence.merkle import leaf_hash, root_of_hashes
from sandbox.evidence.walk import WalkedFrame, walk_frames

_LARGEST_RAW = 1 << 30
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SegmentCount(NamedTuple):
    """What was counted from the first segment on."""

    frames: int
    spans: int
    last_sequence: int
    erased_frames: int = 0
    """As the statements of erased segments say; not among `frames`."""
    erased_spans: int = 0


def check_segment(
    body: dict[str, Any], payload: bytes, packed: bytes, *, before: SegmentCount
) -> SegmentCount:
    """Check one segment.

    Args:
        body: Body of its log entry.
        payload: Its statement, whose signature has been checked.
        packed: Its raw bytes, packed with gzip (RFC 1952).
        before: What the segments before it held.

    Returns:
        The count including this segment.

    Raises:
        EvidenceError: Something does not agree; names the segment.
    """
    name = f"segments/{body['segment']['number']:06d}"
    said = read_predicate(body, payload, name)
    raw = _unpack(packed, said.get("raw_size"), name)
    try:
        frames = walk_frames(raw)
    except EvidenceError as error:
        raise EvidenceError(f"{name}.gz: {error.diagnosis}") from error
    seen = _derive(raw, frames)
    if "first_sequence" in said:
        seen |= {
            "first_sequence": frames[0].sequence,
            "last_sequence": frames[-1].sequence,
        }
    _compare(said, seen, name)
    _check_sequence(frames, before.last_sequence, name)
    return before._replace(
        frames=before.frames + len(frames),
        spans=before.spans + sum(frame.spans for frame in frames),
        last_sequence=before.last_sequence + len(frames),
    )


def read_predicate(body: dict[str, Any], payload: bytes, name: str) -> dict[str, Any]:
    """Return what a statement says of its segment, the same as the log entry says.

    Raises:
        EvidenceError: They differ, or it is the statement of something else.
    """
    what = f"{name}.dsse.json"
    data = read_statement(payload, predicate_type=SEGMENT_PREDICATE, what=what)
    if body.get("statement_digest") != sha256(payload):
        raise EvidenceError(f"{what} is not the statement that the log names")
    if body.get("segment") != data.get("predicate"):
        raise EvidenceError(f"{what}: its words differ from those of the log entry")
    said = data["predicate"]
    subjects = [(item["name"], item["digest"]) for item in data["subject"]]
    number = said["number"]
    expected = [
        (f"{number:06d}.zst", {"sha256": said["compressed_digest"][7:]}),
        (f"{said['trial_id']}/{number:06d}", {"sha256": said["raw_digest"][7:]}),
    ]
    if subjects != expected:
        raise EvidenceError(f"{what}: its subjects are not this segment")
    return dict(said)


def _unpack(packed: bytes, size: Any, name: str) -> bytes:
    if not isinstance(size, int) or not 0 < size <= _LARGEST_RAW:
        raise EvidenceError(f"{name}.gz: its statement gives no usable raw size")
    reader = zlib.decompressobj(wbits=31)
    try:
        # One byte more than there may be, so that a longer stream shows.
        raw = reader.decompress(packed, size + 1)
    except zlib.error as error:
        raise EvidenceError(f"{name}.gz cannot be unpacked: {error}") from error
    if len(raw) != size:
        raise EvidenceError(f"{name}.gz does not hold {size} bytes")
    if not reader.eof or reader.unused_data:
        raise EvidenceError(f"{name}.gz is not one whole packed stream")
    return raw


def _derive(raw: bytes, frames: Sequence[WalkedFrame]) -> dict[str, Any]:
    root = root_of_hashes([leaf_hash(raw[item.start : item.end]) for item in frames])
    return {
        "raw_digest": sha256(raw),
        "raw_size": len(raw),
        "frames_root": f"sha256:{root.hex()}",
        "frames": len(frames),
        "spans": sum(frame.spans for frame in frames),
        "signals": dict(Counter(frame.signal for frame in frames)),
        "producers": _producers(frames),
        "first_received_at": _instant(min(frame.received_us for frame in frames)),
        "last_received_at": _instant(max(frame.received_us for frame in frames)),
    }


def _producers(frames: Sequence[WalkedFrame]) -> list[dict[str, Any]]:
    times: dict[str, list[int]] = {}
    for frame in frames:
        times.setdefault(frame.producer, []).append(frame.received_us)
    return [
        {
            "producer": producer,
            "frames": len(received),
            "first_received_at": _instant(min(received)),
            "last_received_at": _instant(max(received)),
        }
        for producer, received in sorted(times.items())
    ]


def _instant(micros: int) -> str:
    try:
        instant = _EPOCH + timedelta(microseconds=micros)
    except OverflowError as error:
        raise EvidenceError("a frame was received at no possible time") from error
    return instant.isoformat().replace("+00:00", "Z")


def _compare(said: dict[str, Any], seen: dict[str, Any], name: str) -> None:
    for field, value in seen.items():
        if said.get(field) != value:
            raise EvidenceError(
                f"{name}.gz: {field} is {value}, but its statement says "
                f"{said.get(field)}"
            )


def _check_sequence(frames: Sequence[WalkedFrame], last: int, name: str) -> None:
    for expected, frame in enumerate(frames, start=last + 1):
        if frame.sequence != expected:
            raise EvidenceError(
                f"{name}.gz: the frame at byte {frame.start} has number "
                f"{frame.sequence}, but {expected} comes next; evidence is missing"
            )
