"""One recorded request, shown to be in the log, without showing any other.

Rules of this module:

* A disclosure is one file of canonical JSON: the frame; its proof of inclusion in the
  segment's Merkle root over frames (RFC 6962, section 2.1.1); the segment's signed
  statement; the log entry of that segment with its proof of inclusion; the checkpoint;
  the history of the log's key.
* It is checked with the standard library and `cryptography`, against a public key that
  comes from elsewhere. Every byte of the file counts.
* Of the other frames it shows their number and some hashes. A frame is not salted: who
  can guess another frame whole, its receipt time to the microsecond included, can
  confirm the guess.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sandbox.errors import EvidenceError
from sandbox.evidence.attest import (
    SEGMENT_PREDICATE,
    canonical,
    open_envelope,
    read_canonical,
    read_statement,
    sha256,
)
from sandbox.evidence.hashtree import HashTree
from sandbox.evidence.keys import KeyHistory, check_logged, read_history
from sandbox.evidence.layout import fields, read_hashes
from sandbox.evidence.merkle import inclusion_proof, leaf_hash, verify_inclusion
from sandbox.evidence.note import NoteCheckpoint, split_note
from sandbox.evidence.steps import Step, run_steps
from sandbox.evidence.walk import WalkedFrame, walk_frames

_FORMAT = 2
_FIELDS = ("kind", "format", "frame", "statement", "entry", "checkpoint", "keys")
_PROVEN = ("index", "bytes", "proof")
_LOGGED = ("index", "entry", "proof")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SegmentEvidence(NamedTuple):
    """A sealed segment with its place in the log: what a disclosure is cut from."""

    raw: bytes
    """The segment's raw bytes, whole."""
    envelope: bytes
    """Its signed statement, canonical JSON."""
    entry: Mapping[str, Any]
    """Its log entry, JSON-ready."""
    place: int
    """Place of the entry in the log, from 0."""


class LogHead(NamedTuple):
    """A log as one checkpoint covers it."""

    note: bytes
    """The signed checkpoint, with the log's signature alone."""
    tree: HashTree
    """Over exactly the entries it covers."""
    history: KeyHistory
    """Every key of the log."""


class DisclosureResult(NamedTuple):
    """What was found in a disclosure."""

    ok: bool
    steps: tuple[Step, ...]
    frame: bytes
    """The disclosed frame if everything holds, else nothing."""


def make_disclosure(evidence: SegmentEvidence, head: LogHead, *, frame: int) -> bytes:
    """Return the file that discloses one frame of a sealed segment.

    Args:
        evidence: The segment.
        head: The log; it covers the segment's entry.
        frame: Number of the frame in the segment, from 1.

    Raises:
        EvidenceError: The segment has no such frame, its bytes are not whole frames, or
            the log does not cover its entry.
    """
    walked = walk_frames(evidence.raw)
    if not 1 <= frame <= len(walked):
        raise EvidenceError(
            f"the segment has no frame {frame}; name one from 1 to {len(walked)}"
        )
    pieces = [evidence.raw[item.start : item.end] for item in walked]
    proof = inclusion_proof(frame - 1, [leaf_hash(piece) for piece in pieces])
    return canonical(
        {
            "kind": "disclosure",
            "format": _FORMAT,
            "frame": {
                "index": frame - 1,
                "bytes": base64.b64encode(pieces[frame - 1]).decode(),
                "proof": [step.hex() for step in proof],
            },
            "statement": evidence.envelope.decode(),
            "entry": {
                "index": evidence.place,
                "entry": dict(evidence.entry),
                "proof": [
                    step.hex() for step in head.tree.inclusion_proof(evidence.place)
                ],
            },
            "checkpoint": head.note.decode(),
            "keys": head.history.to_json(head.tree.inclusion_proof),
        }
    )


def verify_disclosure(data: bytes, key: bytes) -> DisclosureResult:
    """Check a disclosure.

    Args:
        data: The file.
        key: The 32 raw bytes of a public key of the log, had from elsewhere.

    Returns:
        Every step up to the first failure; never raises for what is in the file.
    """
    check = _Check(data, key)
    steps = run_steps(check.plan())
    ok = all(step.ok for step in steps)
    return DisclosureResult(ok, steps, check.frame if ok else b"")


class _Check:
    """The steps, each resting on those before it."""

    def __init__(self, data: bytes, key: bytes) -> None:
        self._data = data
        self._key = key
        self._parts: dict[str, Any] = {}
        self._history = KeyHistory("", ())
        self._checkpoint = NoteCheckpoint("", 0, b"")
        self._entry: dict[str, Any] = {}
        self._place = 0
        self._proofs: list[list[bytes]] = []
        self._said: dict[str, Any] = {}
        self.frame = b""

    def plan(self) -> list[tuple[str, Callable[[], str]]]:
        return [
            ("The file is a disclosure", self._read),
            ("The key you gave is one of the log's", self._read_keys),
            ("The checkpoint is signed by the key in force", self._read_checkpoint),
            ("The segment's entry stands in the log", self._read_entry),
            ("The segment's statement is the one the log names", self._read_statement),
            ("The frame is the one the statement covers", self._read_frame),
            ("The frame reads as a recorded request", self._walk),
        ]

    def _read(self) -> str:
        data = read_canonical(self._data, what="the disclosure")
        values = fields(data, _FIELDS, "the disclosure")
        if values[:2] != ["disclosure", _FORMAT]:
            raise EvidenceError(
                f"the disclosure is of format {data['format']!r}, and {_FORMAT} is "
                "read here; check it with the version that wrote it"
            )
        self._parts = data
        return f"{len(self._data)} bytes, {sha256(self._data)}"

    def _read_keys(self) -> str:
        self._history, self._proofs = read_history(self._parts["keys"], what="its keys")
        if not self._history.knows(self._key):
            raise EvidenceError("the disclosure is by another key than given")
        return f"log {self._history.name}, key {self._history.latest.hex()} in force"

    def _read_checkpoint(self) -> str:
        note = self._parts["checkpoint"].encode()
        # Lines of others could be changed unseen, so there are none.
        if len(split_note(note)[1]) != 1:
            raise EvidenceError("the checkpoint must carry the log's signature alone")
        said = self._history.open(note)
        self._checkpoint = said
        keys = check_logged(self._history, self._proofs, said)
        return f"{said.size} entries, root {said.root.hex()}, {keys}"

    def _read_entry(self) -> str:
        index, entry, proof = fields(self._parts["entry"], _LOGGED, "its entry")
        if not _is_count(index):
            raise EvidenceError("the place of the entry is not a number")
        verify_inclusion(
            leaf_hash=leaf_hash(canonical(entry)),
            index=index,
            size=self._checkpoint.size,
            proof=read_hashes(proof, "its entry"),
            root=self._checkpoint.root,
        )
        if entry["kind"] != "segment":
            raise EvidenceError(f"the entry is of a {entry['kind']}, not of a segment")
        self._entry, self._place = entry, index
        return f"entry {index}, {entry['entry_id']}, recorded {entry['recorded_at']}"

    def _read_statement(self) -> str:
        envelope = self._parts["statement"].encode()
        key = self._history.at(self._place)
        payload = open_envelope(envelope, [key], what="the statement")
        said = read_statement(
            payload, predicate_type=SEGMENT_PREDICATE, what="the statement"
        )["predicate"]
        body = self._entry["body"]
        if (body["statement_digest"], body["segment"]) != (sha256(payload), said):
            raise EvidenceError("the statement is not the one that the log names")
        self._said = said
        return f"segment {said['number']} of trial {said['trial_id']}"

    def _read_frame(self) -> str:
        index, text, proof = fields(self._parts["frame"], _PROVEN, "its frame")
        if not _is_count(index):
            raise EvidenceError("the place of the frame is not a number")
        frame = base64.b64decode(text, validate=True)
        if base64.b64encode(frame).decode() != text:
            raise EvidenceError("the frame is not canonical base64")
        verify_inclusion(
            leaf_hash=leaf_hash(frame),
            index=index,
            size=self._said["frames"],
            proof=read_hashes(proof, "its frame"),
            root=bytes.fromhex(self._said["frames_root"].removeprefix("sha256:")),
        )
        self.frame = frame
        return f"frame {index + 1} of {self._said['frames']}, {sha256(frame)}"

    def _walk(self) -> str:
        frames = walk_frames(self.frame)
        if len(frames) != 1:
            raise EvidenceError(f"the frame's bytes are {len(frames)} frames")
        return _in_words(frames[0])


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _in_words(frame: WalkedFrame) -> str:
    at = _EPOCH + timedelta(microseconds=frame.received_us)
    return (
        f"{frame.signal} of {frame.producer}, request {frame.sequence} of the trial, "
        f"received {at.isoformat()}, {frame.spans} spans"
    )
