"""What is held, and what was erased: the bodies of log entries, none ever removed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sandbox.model.party import Actor
from sandbox.model.record import Digest, Instant, Record, TrialId


class Hold(Record):
    """Evidence of a trial is not to be erased, whatever the law's period, or again is.

    Several holds may be in force at once; each is released by itself.
    """

    kind: Literal["hold"] = "hold"
    act: Literal["place", "release"]
    number: int
    """Counted from 1 within the trial; a release bears the number of its placing."""
    reason: str = Field(min_length=1)
    by: Actor


class SegmentErasure(Record):
    """The raw bytes of a sealed segment go; its statement and its entry stay."""

    kind: Literal["segment-erasure"] = "segment-erasure"
    number: int
    """Of the segment, within the trial."""
    statement_digest: Digest
    raw_digest: Digest
    kept_until: Instant
    source: str
    """The provision under which the evidence is kept no longer."""
    regime_digest: Digest
    by: Actor


class SubjectErasure(Record):
    """The key of a data subject goes; what was sealed to it can be read by nobody."""

    kind: Literal["subject-erasure"] = "subject-erasure"
    subject: str
    """The pseudonym under which the trial's evidence names the subject."""
    public_key: str
    """The 32 bytes of the public half, hexadecimal."""
    reason: str = Field(min_length=1)
    by: Actor


class Keeping(Record):
    """What is known of one segment's bytes: until when they are kept, and why."""

    kind: Literal["keeping"] = "keeping"
    trial_id: TrialId
    number: int
    state: Literal["kept", "due", "held", "erased", "lost"]
    """kept: the period runs, has not begun, or there is none. due: it is over. held: it
    may be over, and a hold is in force. erased: the log says so. lost: the bytes are
    gone, and the log does not say so."""
    until: Instant | None
    """End of the lawful period; None where there is none, or it has not begun."""
    why: str
