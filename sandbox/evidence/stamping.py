"""Has a checkpoint stamped by an authority, and keeps the token.

Rules of this module:

* What is stamped is the checkpoint's text; whoever signs it, one text needs one token.
* An authority that does not answer, or answers wrongly, changes nothing: the checkpoint
  stays as it is, not stamped, and the next one is tried.
"""

from __future__ import annotations

import base64

from sandbox.evidence.note import split_note
from sandbox.model.log import Checkpoint, Timestamp
from sandbox.ports import Log, Timestamps


def stamp_checkpoint(log: Log, authority: Timestamps, checkpoint: Checkpoint) -> bool:
    """Have a checkpoint stamped, unless it is already.

    Args:
        log: Keeps the token.
        authority: Is asked.
        checkpoint: One that the log keeps.

    Returns:
        Whether a token was made now.

    Raises:
        EvidenceError: The authority did not answer (retryable), refused, or its token
            does not verify.
        RecordsError: The token cannot be kept.
    """
    text, _ = split_note(checkpoint.note.encode())
    for kept in log.timestamps(checkpoint.size):
        if split_note(kept.note.encode())[0] == text:
            return False
    token, chain = authority.stamp(text)
    log.keep_timestamp(
        Timestamp(
            size=checkpoint.size,
            note=checkpoint.note,
            token=base64.b64encode(token).decode(),
            chain=tuple(base64.b64encode(item).decode() for item in chain),
        )
    )
    return True
