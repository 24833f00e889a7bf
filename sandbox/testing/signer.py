"""A signer whose key exists only in memory."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sandbox.errors import EvidenceError


class ThrowawaySigner:
    """Holds an Ed25519 key for one test; never use it for evidence.

    Args:
        name: The key's name, as signed notes write it.
        seed: Equal seeds give equal keys.
    """

    def __init__(self, name: str = "test.example/log", *, seed: str = "0") -> None:
        if not name or any(mark.isspace() or mark == "+" for mark in name):
            raise EvidenceError(f"{name!r} cannot name a key; no space, no plus sign")
        self._name = name
        self._key = Ed25519PrivateKey.from_private_bytes(
            hashlib.sha256(seed.encode()).digest()
        )

    @property
    def name(self) -> str:
        """Name of the key."""
        return self._name

    @property
    def public_key(self) -> bytes:
        """The 32 raw bytes of the public key."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, data: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature of `data`."""
        return self._key.sign(data)
