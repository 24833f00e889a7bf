"""Signed notes and checkpoints.

Rules of this module:

* A note is text that ends in a newline, an empty line, then signature lines
  `— name base64(key id || signature)` (C2SP signed-note).
* The key id of an Ed25519 key is the first four bytes of
  SHA-256(name || 0x0A || 0x01 || public key).
* A checkpoint's text is origin, size, base64 root, one line each; lines after them are
  extensions (C2SP tlog-checkpoint). The origin is the name of the log's key.
* Signatures of unknown keys are passed over; one of a known key that does not verify
  fails the note, and so does the lack of any known one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sandbox.errors import EvidenceError

_NAME = re.compile(r"^[^\s+]+$")
_SIZE = re.compile(r"^(0|[1-9][0-9]{0,17})$")
_ED25519 = b"\x01"


class NoteCheckpoint(NamedTuple):
    """What a checkpoint says, once its signature has been checked."""

    origin: str
    size: int
    root: bytes


def key_id(name: str, public_key: bytes) -> bytes:
    """Return the four bytes that name an Ed25519 key in a note.

    Args:
        name: The key's name.
        public_key: Its 32 raw bytes (RFC 8032).
    """
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public_key).digest()[:4]


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


def checkpoint_text(origin: str, size: int, root: bytes) -> bytes:
    """Return the text of a checkpoint, as it is signed.

    Raises:
        EvidenceError: The origin cannot name a key (it is empty, or has a space or +).
    """
    if not _NAME.match(origin):
        raise EvidenceError(
            f"{origin!r} cannot be a log's origin; use a name without space and +"
        )
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n".encode()


def signed_note(text: bytes, *, name: str, public_key: bytes, signature: bytes) -> str:
    """Return the note: the text and one signature line."""
    token = base64.b64encode(key_id(name, public_key) + signature).decode()
    return f"{text.decode()}\n\u2014 {name} {token}\n"


def open_note(note: bytes, keys: Mapping[str, bytes]) -> bytes:
    """Check a note's signatures and return its text.

    Args:
        note: The whole note.
        keys: Public keys one trusts, by name.

    Raises:
        EvidenceError: It is not a signed note, or no trusted key signed it.
    """
    head, found, tail = note.rpartition(b"\n\n")
    if not found or not tail.endswith(b"\n"):
        raise EvidenceError("the checkpoint is not a signed note: no signature lines")
    text = head + b"\n"
    signers = [
        _check_line(line, text, keys) for line in _text(tail).split("\n") if line
    ]
    if tail.count(b"\n") != len(signers):
        raise EvidenceError("the checkpoint has an empty line among its signatures")
    if not any(signers):
        raise EvidenceError(
            f"no trusted key signed the checkpoint; trusted are {sorted(keys)}"
        )
    return text


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise EvidenceError("the checkpoint is not UTF-8 text") from error


def _check_line(line: str, text: bytes, keys: Mapping[str, bytes]) -> bool:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "\u2014" or not _NAME.match(parts[1]):
        raise EvidenceError(f"{line[:60]!r} is not a signature line of a note")
    name, token = parts[1], strict_base64(parts[2])
    public_key = keys.get(name)
    if public_key is None or token[:4] != key_id(name, public_key):
        return False
    verify_signature(public_key, token[4:], text, what="the checkpoint")
    return True


def verify_signature(
    public_key: bytes, signature: bytes, data: bytes, *, what: str
) -> None:
    """Check an Ed25519 signature (RFC 8032).

    Args:
        public_key: 32 raw bytes.
        signature: 64 bytes.
        data: What was signed.
        what: Named in the error.

    Raises:
        EvidenceError: The key is not one, or the signature is not by it.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, data)
    except (InvalidSignature, ValueError) as error:
        raise EvidenceError(
            f"the signature of {what} is not by the key that is trusted for it"
        ) from error


def open_checkpoint(note: bytes, keys: Mapping[str, bytes]) -> NoteCheckpoint:
    """Check a signed checkpoint and return what it says.

    Args:
        note: The signed note.
        keys: Public keys one trusts, by name.

    Raises:
        EvidenceError: It is not a checkpoint, or no trusted key signed it.
    """
    lines = _text(open_note(note, keys)).split("\n")
    if len(lines) < 4 or not all(lines[:-1]) or not _SIZE.match(lines[1]):
        raise EvidenceError("the checkpoint does not have origin, size and root")
    root = strict_base64(lines[2])
    if len(root) != 32:
        raise EvidenceError("the checkpoint's root is not a SHA-256 hash")
    if lines[0] not in keys:
        raise EvidenceError(
            f"the checkpoint is of the log {lines[0]!r}, whose key is not trusted; "
            f"trusted are {sorted(keys)}"
        )
    return NoteCheckpoint(lines[0], int(lines[1]), root)
