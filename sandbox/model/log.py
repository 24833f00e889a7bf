"""The transparency log: its entries, checkpoints and timestamps, and what verifies."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from sandbox.model.record import Digest, Instant, Record, TrialId
from sandbox.model.segment import Signal

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
    "import",
    "look",
    "breach",
    "closing",
    "incident",
    "load-result",
    "finding",
    "exit-report",
    "proposal",
    "impact",
    "comment",
    "disposition",
    "adoption",
    "retention",
    "hold",
    "erasure",
    "key",
]


class LogEntry(Record):
    """One leaf of the transparency log; its canonical JSON is what is hashed."""

    kind: EntryKind
    entry_id: str
    """Idempotency key: the same id is the same entry."""
    trial_id: str
    """Trial or `rulebook/{id}` it belongs to; `@recorder` for requests of nobody."""
    recorded_at: Instant
    body: dict[str, JsonValue] = Field(default_factory=dict)


class LoggedEntry(Record):
    """An entry with its place in the log."""

    index: int
    leaf_hash: Digest
    entry: LogEntry


class TelemetryImport(Record):
    """A file of telemetry that becomes evidence of a named producer.

    Its entry is made before the first request is sent (`begin`), and another one when
    the last was acknowledged (`end`); what has no end was interrupted.
    """

    kind: Literal["telemetry-import"] = "telemetry-import"
    act: Literal["begin", "end"]
    trial_id: TrialId
    attempt: str
    """Names one attempt; the entries of one import have the same."""
    file: str
    """Name of the file, without its folder."""
    file_digest: Digest
    file_size: int
    form: Literal["otlp", "otlp-proto"]
    """JSON lines, or length-delimited protobuf."""
    producer: str
    """Under whose name the requests are recorded."""
    signal: Signal
    requests: int
    """Lines, or length-delimited requests."""
    spans: int
    earlier: int = 0
    """How often the same content had been imported before."""
    by: str
    """Who did it: the account of this machine that ran the command."""


class Checkpoint(Record):
    """Signed origin, size and root of the log (C2SP tlog-checkpoint, signed note)."""

    origin: str
    size: int
    root: Digest
    note: str
    """The signed note, exactly as signed."""


class Timestamp(Record):
    """A time-stamping authority's word on when a checkpoint existed (RFC 3161)."""

    size: int
    """Entries of the log that the checkpoint covers."""
    note: str
    """The signed checkpoint whose text was stamped."""
    token: str
    """The TimeStampToken, base64 of its DER."""
    chain: tuple[str, ...] = ()
    """Certificates between the authority's and a root, base64 of their DER."""


class Attestation(Record):
    """A signed statement: in-toto Statement v1 in a DSSE envelope."""

    subject: Digest
    predicate_type: str
    envelope: dict[str, JsonValue]


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
    """Counted from the raw bytes; those of erased segments are not among them."""
    spans: int
    erased_frames: int = 0
    """As the statements of erased segments say; not counted again."""
    erased_spans: int = 0
