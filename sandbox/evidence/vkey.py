"""Public keys of logs and witnesses: how they are written, and which are refused.

Rules of this module:

* A verifier key is `name+hex(key id)+base64(signature type || public key)`
  (C2SP signed-note, "Verifier keys").
* The key id of a key is the first four bytes of
  SHA-256(name || 0x0A || signature type || public key).
* Signature types known here: 0x01, Ed25519 (C2SP signed-note), and 0x04, timestamped
  Ed25519 cosignature (C2SP tlog-cosignature).
* A key under which anyone could sign is refused where it is enrolled: it encodes a
  point (RFC 8032), which must lie on the curve and not be of small order.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sandbox.errors import EvidenceError

ED25519 = b"\x01"
COSIGNATURE = b"\x04"

_NAME = re.compile(r"^[^\s+]+$")
_ID = re.compile(r"^[0-9a-f]{8}$")
_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P
_OF_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
# The y coordinates of the eight points whose order divides 8.
_SMALL_ORDER = frozenset({0, 1, _P - 1, _OF_ORDER_8, _P - _OF_ORDER_8})


class NoteKey(NamedTuple):
    """A public key with the name and signature type under which it signs notes."""

    name: str
    public_key: bytes
    algorithm: bytes = ED25519
    """`ED25519` or `COSIGNATURE`."""

    @property
    def key_id(self) -> bytes:
        """The four bytes that name the key in a signature line."""
        return key_id(self.name, self.public_key, self.algorithm)

    def vkey(self) -> str:
        """Return the key as a verifier key, on one line."""
        key = base64.b64encode(self.algorithm + self.public_key).decode()
        return f"{self.name}+{self.key_id.hex()}+{key}"


Keys = Mapping[str, bytes] | Iterable[str]
"""Keys one trusts: raw 32 bytes by name, or verifier keys as text."""
KnownKeys = dict[tuple[str, bytes], NoteKey]
"""Keys by what a signature line names them with: (name, key id)."""


def key_id(name: str, public_key: bytes, algorithm: bytes = ED25519) -> bytes:
    """Return the four bytes that name a key in a note.

    Args:
        name: The key's name.
        public_key: Its 32 raw bytes (RFC 8032).
        algorithm: The signature type, one byte.
    """
    return hashlib.sha256(name.encode() + b"\n" + algorithm + public_key).digest()[:4]


def strict_base64(text: str) -> bytes:
    """Decode base64 that has exactly one way of being written.

    Raises:
        EvidenceError: It is not base64, or not in its canonical form.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise EvidenceError(f"{text[:40]!r} is not base64") from error
    if base64.b64encode(data).decode() != text:
        raise EvidenceError(f"{text[:40]!r} is not canonical base64")
    return data


def is_name(text: str) -> bool:
    """Return whether a signature line can carry `text` as the name of a key."""
    return bool(_NAME.match(text))


def check_public_key(public_key: bytes, *, what: str) -> None:
    """Check that bytes are an Ed25519 public key that only its owner can sign with.

    Args:
        public_key: The raw bytes.
        what: Whose key it is, named in the error.

    Raises:
        EvidenceError: It has not 32 bytes, is no point of the curve (RFC 8032, section
            5.1.3), or is one of the points of small order, under which a signature can
            be made without a private key.
    """
    if len(public_key) != 32:
        raise EvidenceError(
            f"{what} has {len(public_key)} bytes; an Ed25519 key has 32"
        )
    y = int.from_bytes(public_key, "little") & ((1 << 255) - 1)
    if y in _SMALL_ORDER or y - _P in _SMALL_ORDER:
        raise EvidenceError(
            f"{what} is a weak key (a point of small order): anyone can sign with it; "
            "ask its owner for another one"
        )
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    if y >= _P or pow(square, (_P - 1) // 2, _P) != 1:
        raise EvidenceError(
            f"{what} is not an Ed25519 public key (RFC 8032); copy it again"
        )


def parse_vkey(text: str) -> NoteKey:
    """Read a verifier key.

    Raises:
        EvidenceError: It is not one, is of a signature type not known here, its key id
            is not its own, or the key is weak.
    """
    parts = text.strip().split("+", 2)
    if len(parts) != 3 or not is_name(parts[0]) or not _ID.match(parts[1]):
        raise EvidenceError(
            f"{text[:80]!r} is not a verifier key; write name+key id+base64"
        )
    data = strict_base64(parts[2])
    key = NoteKey(parts[0], data[1:], data[:1])
    if key.algorithm not in (ED25519, COSIGNATURE):
        raise EvidenceError(
            f"the key {key.name} is of signature type 0x{key.algorithm.hex()}; only "
            "Ed25519 (0x01) and its cosignatures (0x04) are read here"
        )
    if key.key_id.hex() != parts[1]:
        raise EvidenceError(
            f"the verifier key of {key.name} carries the key id {parts[1]}, but its "
            f"own is {key.key_id.hex()}; copy it again"
        )
    check_public_key(key.public_key, what=f"the key {key.name}")
    return key


def read_keys(keys: Keys, *, algorithm: bytes = ED25519) -> KnownKeys:
    """Return trusted keys by (name, key id).

    Args:
        keys: Raw keys by name, verifier keys, or one verifier key.
        algorithm: The signature type of keys that are given raw.

    Raises:
        EvidenceError: One of them cannot be trusted, or cannot be read.
    """
    if isinstance(keys, Mapping):
        found = [NoteKey(name, raw, algorithm) for name, raw in keys.items()]
    else:
        texts = [keys] if isinstance(keys, str) else keys
        found = [parse_vkey(text) for text in texts]
    for key in found:
        if not is_name(key.name):
            raise EvidenceError(f"{key.name!r} cannot name a key; no space, no plus")
        check_public_key(key.public_key, what=f"the key {key.name}")
    return {(key.name, key.key_id): key for key in found}
