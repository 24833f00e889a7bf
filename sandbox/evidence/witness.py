"""Cosignatures: someone else says that the log only ever grew.

Rules of this module (C2SP tlog-cosignature, `cosignature/v1` with Ed25519):

* A witness signs a checkpoint only if it continues the last one it signed. It cannot
  know what the entries mean, and vouches for nothing but that.
* It keeps the last note it signed; whoever rewrites the log must show it one tree and
  others another, and the notes prove that.
* What is signed is the header `cosignature/v1`, the time, and the checkpoint's text.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sandbox.errors import EvidenceError
from sandbox.evidence.merkle import verify_consistency
from sandbox.evidence.note import (
    NoteCheckpoint,
    cosigned_text,
    signature_line,
    split_note,
)
from sandbox.evidence.vkey import COSIGNATURE, NoteKey
from sandbox.ports import Signer


class Growth(NamedTuple):
    """How a checkpoint continues an earlier one of the same log."""

    old: NoteCheckpoint
    new: NoteCheckpoint
    proof: Sequence[bytes]
    """Consistency proof between the two (RFC 6962, section 2.1.2)."""


def check_growth(growth: Growth) -> None:
    """Check that a log only grew between two checkpoints.

    Raises:
        EvidenceError: It is another log, it shrank, or what was there has changed.
    """
    old, new = growth.old, growth.new
    if old.origin != new.origin:
        raise EvidenceError(
            f"the checkpoint is of the log {new.origin!r}, and the last one signed is"
            f" of {old.origin!r}; keep one state for each log"
        )
    if new.size < old.size:
        raise EvidenceError(
            f"the log {new.origin} shrank from {old.size} to {new.size} entries: it is"
            " not signed; ask its operator for the missing ones and keep both notes"
        )
    try:
        verify_consistency(
            old_size=old.size,
            new_size=new.size,
            proof=growth.proof,
            old_root=old.root,
            new_root=new.root,
        )
    except EvidenceError as error:
        raise EvidenceError(
            f"the log {new.origin} does not continue what was signed at"
            f" {old.size} entries: it is not signed; keep both notes, together they"
            f" prove it ({error.diagnosis})"
        ) from error


def cosign(note: bytes, signer: Signer, *, at: datetime) -> bytes:
    """Return the note with one more signature line.

    Args:
        note: A checkpoint whose own signature has been checked.
        signer: Holder of the witness's key.
        at: When the witness saw it; kept to the second.
    """
    text, _ = split_note(note)
    seconds = int(at.timestamp())
    signature = signer.sign(cosigned_text(text, seconds))
    key = NoteKey(signer.name, signer.public_key, COSIGNATURE)
    return note + signature_line(key, seconds.to_bytes(8, "big") + signature).encode()
