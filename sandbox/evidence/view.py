"""A log as one signed checkpoint shows it, and what else is of that same log.

Rules of this module:

* A note belongs to the log if the key in force at its last entry signed it, and its
  root is one that the checkpoint continues (RFC 6962, section 2.1.2).
* Lines of signatures that are nobody's business here are left unread (C2SP
  signed-note).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sandbox.errors import EvidenceError
from sandbox.evidence.keys import KeyHistory
from sandbox.evidence.layout import read_hashes
from sandbox.evidence.merkle import verify_consistency
from sandbox.evidence.note import NoteCheckpoint


class LogView(NamedTuple):
    """A log's keys and the checkpoint that everything is measured against."""

    history: KeyHistory
    checkpoint: NoteCheckpoint

    def earlier(self, note: Any, consistency: Any, *, what: str) -> NoteCheckpoint:
        """Return what an earlier checkpoint says, once it is shown to be continued.

        Args:
            note: The signed note.
            consistency: Steps of the proof, in hexadecimal.
            what: Named in the error.

        Raises:
            EvidenceError: It is not of this log, or of another history of it.
        """
        try:
            old = self.history.open(str(note).encode())
            verify_consistency(
                old_size=old.size,
                new_size=self.checkpoint.size,
                proof=read_hashes(consistency, what),
                old_root=old.root,
                new_root=self.checkpoint.root,
            )
        except EvidenceError as error:
            raise EvidenceError(f"{what}: {error.diagnosis}") from error
        return old
