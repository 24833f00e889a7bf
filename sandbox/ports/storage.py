"""Blobs that never change, and keys that can be destroyed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol


class Objects(Protocol):
    """Immutable named blobs; raises `EvidenceError` only."""

    def put(self, name: str, data: bytes) -> None:
        """Store once; the same content again is accepted, other content refused."""
        ...

    def get(self, name: str, *, digest: str = "") -> bytes:
        """Return the bytes; with `digest`, only if they have it.

        Raises:
            EvidenceError: There is nothing of that name, or it was changed.
        """
        ...

    def get_range(self, name: str, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to, not including, `end`.

        Raises:
            EvidenceError: The object has not all of them.
        """
        ...

    def size(self, name: str) -> int | None:
        """Return the number of bytes, or None where there is nothing of that name."""
        ...

    def names(self, prefix: str = "") -> Iterable[str]:
        """Return the names that start with `prefix`, sorted."""
        ...


class SubjectKey(NamedTuple):
    """The public half of a data subject's key."""

    subject: str
    """The subject's pseudonym in the trial."""
    public_key: bytes
    """32 raw bytes (X25519, RFC 7748)."""


class SubjectKeys(Protocol):
    """Private keys of data subjects, which never leave it; raises `EvidenceError` only.

    Subjects are named by pseudonyms.
    """

    def naming_key(self, trial_id: str) -> bytes:
        """Return the key under which subjects of a trial get their pseudonyms."""
        ...

    def create(self, trial_id: str, subject: str) -> SubjectKey:
        """Make the key of a subject, or return the one there is."""
        ...

    def list(self, trial_id: str) -> Sequence[SubjectKey]:
        """Return the keys of a trial's subjects, by pseudonym."""
        ...

    def open(
        self, trial_id: str, subject: str, *, sealed: bytes, info: bytes
    ) -> bytes | None:
        """Return what was sealed to a subject, or None where it does not open.

        Raises:
            EvidenceError: There is no such key.
        """
        ...

    def destroy(self, trial_id: str, subject: str) -> None:
        """Destroy the key of a subject for good; without one, do nothing."""
        ...
