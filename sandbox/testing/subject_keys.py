"""Keys of data subjects in memory."""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from sandbox.errors import EvidenceError
from sandbox.ports import SubjectKey
from sandbox.recorder.sealing import SUITE


class FakeSubjectKeys:
    """Implements `sandbox.ports.SubjectKeys`; what it makes is gone with it."""

    def __init__(self) -> None:
        self._keys: dict[tuple[str, str], X25519PrivateKey] = {}
        self._naming: dict[str, bytes] = {}

    def naming_key(self, trial_id: str) -> bytes:
        """Return the key under which subjects of a trial get their pseudonyms."""
        return self._naming.setdefault(trial_id, secrets.token_bytes(32))

    def create(self, trial_id: str, subject: str) -> SubjectKey:
        """Make the key of a subject, or return the one there is."""
        key = self._keys.setdefault((trial_id, subject), X25519PrivateKey.generate())
        return SubjectKey(subject, key.public_key().public_bytes_raw())

    def list(self, trial_id: str) -> list[SubjectKey]:
        """Return the keys of a trial's subjects, by pseudonym."""
        names = sorted(subject for owner, subject in self._keys if owner == trial_id)
        return [self.create(trial_id, subject) for subject in names]

    def open(
        self, trial_id: str, subject: str, *, sealed: bytes, info: bytes
    ) -> bytes | None:
        """Return what was sealed to a subject, or None where it does not open."""
        key = self._keys.get((trial_id, subject))
        if key is None:
            raise EvidenceError(f"trial {trial_id} has no key of subject {subject}")
        try:
            return SUITE.decrypt(sealed, key, info)
        except (InvalidTag, ValueError):
            return None

    def destroy(self, trial_id: str, subject: str) -> None:
        """Forget the key of a subject; without one, do nothing."""
        self._keys.pop((trial_id, subject), None)
