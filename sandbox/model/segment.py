"""What was recorded: segments, gaps, completeness, and what was refused."""

from __future__ import annotations

from typing import Literal

from sandbox.model.record import Digest, Instant, Record, TrialId

Signal = Literal["traces", "metrics", "logs"]


class ProducerRange(Record):
    """Frames of one producer inside a segment."""

    producer: str
    frames: int
    first_received_at: Instant
    last_received_at: Instant


GapReason = Literal[
    "torn-frame",
    "recorder-down",
    "silence",
    "refused",
    "sequence-hole",
    "sdk-dropped",
    "sdk-in-flight",
    "orphan-parent",
    "clock-skew",
    "conflict",
]
"""torn-frame, recorder-down, refused: seen by the recorder itself. silence: nothing
came for long. sequence-hole: numbers of `SequenceSpanProcessor` that never came.
sdk-dropped, sdk-in-flight: what the producer's own counters say it dropped, or had not
settled. orphan-parent: spans whose local parent never came. clock-skew: times that
cannot be true. conflict: one span's identity, several contents."""


class Gap(Record):
    """A stretch for which evidence is known to be missing, or may be."""

    producer: str
    reason: GapReason
    detail: str
    count: int | None = None
    """Spans concerned, where they can be counted."""
    since: Instant | None = None
    until: Instant | None = None


class ProducerCompleteness(Record):
    """What arrived of one producer, and what is known not to have."""

    producer: str
    spans: int
    """Spans received, each delivery counted."""
    duplicates: int = 0
    """Deliveries of a span that had come before, byte for byte the same."""
    conflicts: int = 0
    """Deliveries of a span that had come before, with other contents."""
    numbered: int = 0
    """Deliveries that carry a number of `SequenceSpanProcessor`."""
    instances: int = 0
    """Numbering instances, in general one for each process."""
    holes: int = 0
    """Numbers below the highest received of an instance that never came."""
    exact: bool = True
    """False: more holes or instances than are kept apart, so that `holes` is a limit
    from above for the instances counted."""
    dropped: int | None = None
    """Spans its own counters say were lost on the way; None: it sends no counters."""
    local_children: int = 0
    """Spans, each once, whose parent must have come from the same process."""
    orphans: int = 0
    """Those of them whose parent never came."""
    remote_unseen: int = 0
    """Spans whose parent is of another process and never came: outside, or lost."""
    silences: int = 0
    """Stretches longer than the plan's settling time without anything from it."""
    skewed: int = 0
    """Deliveries of spans that ended after they came, or began before the trial."""

    @property
    def unnumbered(self) -> int:
        """Deliveries without a number: of their loss nothing would be known."""
        return self.spans - self.numbered

    @property
    def lost(self) -> int:
        """Spans known to be lost; numbers and counters may speak of the same ones."""
        return max(self.holes, self.dropped or 0)


class Completeness(Record):
    """What arrived of a whole trial, and what is known to be missing."""

    kind: Literal["completeness"] = "completeness"
    trial_id: TrialId
    producers: tuple[ProducerCompleteness, ...]
    gaps: tuple[Gap, ...] = ()


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
    first_sequence: int | None = None
    """Number in the trial of the first frame; None in statements made before it was
    stated, and then it follows from the frames of the segments before."""
    last_sequence: int | None = None
    """Number in the trial of the last frame."""
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


class RecorderHealth(Record):
    """Whether what the producers of one trial send now would be recorded."""

    kind: Literal["recorder-health"] = "recorder-health"
    is_well: bool
    cause: str = ""
    """What is wrong, in words; empty when it is well."""
    since: Instant | None = None
    """Since when, as far as the recorder itself can tell."""


RefusalReason = Literal[
    "unauthenticated",
    "malformed",
    "too-large",
    "unsupported",
    "overloaded",
    "unavailable",
]
"""unauthenticated: no token, a wrong or a revoked one. malformed, too-large,
unsupported: the request itself. overloaded: the disk was behind. unavailable: the
recorder could not write, or not read the tokens."""


class RecorderRefusal(Record):
    """Requests that were not recorded, for one reason, from one place."""

    kind: Literal["recorder-refusal"] = "recorder-refusal"
    reason: RefusalReason
    signal: str = ""
    """What the requests claimed to carry; empty where there was more than one."""
    peer: str
    """Network address they came from; `many` where they are not told apart."""
    trial_id: str = ""
    """Trial and producer that the token named; empty where it named nobody."""
    producer: str = ""
    count: int
    first_at: Instant
    last_at: Instant


class RefusalWindow(Record):
    """What the recorder refused in one window of time."""

    kind: Literal["refusal-window"] = "refusal-window"
    name: str
    """Never used twice."""
    refusals: tuple[RecorderRefusal, ...]


class SealedSegment(Record):
    """A sealed segment with where it lies and the digest of its signed statement."""

    segment: EvidenceSegment
    file: str
    """Name under the evidence folder of the trial."""
    attestation: str
    """Name of the DSSE envelope file beside it."""
    statement_digest: Digest
