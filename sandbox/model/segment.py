"""Evidence at rest: segments, gaps, log entries, checkpoints, attestations."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from sandbox.model.record import Digest, Instant, Record, TrialId

Signal = Literal["traces", "metrics", "logs"]
EntryKind = Literal[
    "application",
    "opinion",
    "decision",
    "refusal",
    "transition",
    "deadline",
    "plan",
    "temporary-rule",
    "rule-version",
    "isolation-proof",
    "environment",
    "segment",
    "look",
    "breach",
    "incident",
    "load-result",
    "finding",
    "exit-report",
    "proposal",
    "comment",
    "disposition",
    "adoption",
    "retention",
    "erasure",
]


class ProducerRange(Record):
    """Frames of one producer inside a segment."""

    producer: str
    frames: int
    first_received_at: Instant
    last_received_at: Instant


class Gap(Record):
    """A stretch for which evidence is known to be missing, or may be."""

    producer: str
    reason: Literal["torn-frame", "recorder-down", "silence", "refused"]
    detail: str
    since: Instant | None = None
    until: Instant | None = None


class EvidenceSegment(Record):
    """A sealed run of frames; the predicate of its signed statement."""

    kind: Literal["evidence-segment"] = "evidence-segment"
    trial_id: TrialId
    number: int
    """Counted from 1 within the trial."""
    frames: int
    spans: int
    signals: dict[Signal, int]
    """Frames per signal."""
    first_received_at: Instant
    last_received_at: Instant
    producers: tuple[ProducerRange, ...]
    gaps: tuple[Gap, ...] = ()
    frames_root: Digest
    """Merkle root over the frames (RFC 6962 hashing)."""
    raw_digest: Digest
    raw_size: int
    compressed_digest: Digest
    compressed_size: int
    rulebook_digest: Digest


class LogEntry(Record):
    """One leaf of the transparency log; its canonical JSON is what is hashed."""

    kind: EntryKind
    entry_id: str
    """Idempotency key: the same id is the same entry."""
    trial_id: str
    """Trial or `rulebook/{id}` it belongs to."""
    recorded_at: Instant
    body: dict[str, JsonValue] = Field(default_factory=dict)


class LoggedEntry(Record):
    """An entry with its place in the log."""

    index: int
    leaf_hash: Digest
    entry: LogEntry


class Checkpoint(Record):
    """Signed origin, size and root of the log (C2SP tlog-checkpoint, signed note)."""

    origin: str
    size: int
    root: Digest
    note: str
    """The signed note, exactly as signed."""


class Attestation(Record):
    """A signed statement: in-toto Statement v1 in a DSSE envelope."""

    subject: Digest
    predicate_type: str
    envelope: dict[str, JsonValue]


class SealedSegment(Record):
    """A sealed segment with where it lies and the digest of its signed statement."""

    segment: EvidenceSegment
    file: str
    """Name under the evidence folder of the trial."""
    attestation: str
    """Name of the DSSE envelope file beside it."""
    statement_digest: Digest


class VerificationStep(Record):
    """One step of the verifier, in words."""

    step: str
    ok: bool
    detail: str


class Verification(Record):
    """What the verifier found in a bundle."""

    kind: Literal["verification"] = "verification"
    ok: bool
    steps: tuple[VerificationStep, ...]
    entries: int
    frames: int
    spans: int
