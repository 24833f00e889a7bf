"""An Ed25519 key in a file.

Rules of this module:

* The key is made at first use; two processes that start together get the same one.
* Only its owner may read it; a key others can read is not used.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from sandbox.adapters.durable import create_secret
from sandbox.errors import EvidenceError


class FileSigner:
    """Signs with the key in a PEM file (PKCS #8).

    Args:
        path: The key's file, for example under `keys/` of the state directory.
        name: The key's name, as signed notes write it: no space, no plus sign.

    Raises:
        EvidenceError: The key cannot be made or read, or others can read it.
    """

    def __init__(self, path: Path, name: str) -> None:
        if not name or any(mark.isspace() or mark == "+" for mark in name):
            raise EvidenceError(f"{name!r} cannot name a key; no space, no plus sign")
        self._name = name
        try:
            if not path.exists():
                _make(path)
            self._key = _read(path)
        except (OSError, ValueError, TypeError) as error:
            raise EvidenceError(
                f"the signing key {path} cannot be used: {error}; restore it from a "
                "backup, or move it away to start with a new key"
            ) from error

    @property
    def name(self) -> str:
        """Name of the key."""
        return self._name

    @property
    def public_key(self) -> bytes:
        """The 32 raw bytes of the public key (RFC 8032)."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, data: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature of `data`."""
        return self._key.sign(data)


def _make(path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    create_secret(path, pem)


def _read(path: Path) -> Ed25519PrivateKey:
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise EvidenceError(
            f"the signing key {path} can be read by others (mode {mode:o}); it may be "
            "known to them: replace it, or run chmod 600 if you are sure"
        )
    key = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("it is a key of another kind")
    return key
