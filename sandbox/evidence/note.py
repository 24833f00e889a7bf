"""Signed notes and checkpoints.

Rules of this module:

* A note is text that ends in a newline, an empty line, then signature lines
  `— name base64(key id || signature)`; UTF-8, no control characters (C2SP signed-note).
* A checkpoint's text is origin, size, base64 root, one line each; lines after them are
  extensions (C2SP tlog-checkpoint). The origin is the name of the log's key, and that
  key must have signed.
* Signatures of unknown keys are passed over; one of a known key that does not verify
  fails the note, and so does the lack of any known one.
* A cosignature signs `cosignature/v1`, a time, and the text (C2SP tlog-cosignature).
"""

from __future__ import annotations

import base64
import re
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sandbox.errors import EvidenceError
from sandbox.evidence.vkey import (
    ED25519,
    Keys,
    KnownKeys,
    NoteKey,
    is_name,
    read_keys,
    strict_base64,
)

LARGEST_TIME = (1 << 63) - 1
"""Latest time of a cosignature, in seconds since 1970 (C2SP tlog-cosignature)."""

_SIZE = re.compile(r"^(0|[1-9][0-9]{0,18})$")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
# The specification asks for at least 16 signatures and for some limit.
_MOST_SIGNATURES = 100


class NoteCheckpoint(NamedTuple):
    """What a checkpoint says, once its signature has been checked."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()
    """Further lines; opaque."""


class SignatureLine(NamedTuple):
    """One signature of a note, not yet checked."""

    name: str
    key_id: bytes
    signature: bytes

    @property
    def at(self) -> int:
        """Time of a cosignature, in seconds since 1970."""
        return int.from_bytes(self.signature[:8], "big")


def checkpoint_text(origin: str, size: int, root: bytes) -> bytes:
    """Return the text of a checkpoint, as it is signed.

    Raises:
        EvidenceError: The origin cannot name a key (it is empty, or has a space or +).
    """
    if not is_name(origin):
        raise EvidenceError(
            f"{origin!r} cannot be a log's origin; use a name without space and +"
        )
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n".encode()


def signed_note(text: bytes, *, name: str, public_key: bytes, signature: bytes) -> str:
    """Return the note: the text and one signature line."""
    return f"{text.decode()}\n{signature_line(NoteKey(name, public_key), signature)}"


def signature_line(key: NoteKey, signature: bytes) -> str:
    """Return one signature line of a note, with its newline.

    Args:
        key: The key that signed.
        signature: As its signature type has it; a cosignature begins with its time.
    """
    token = base64.b64encode(key.key_id + signature).decode()
    return f"\u2014 {key.name} {token}\n"


def cosigned_text(text: bytes, at: int) -> bytes:
    """Return what a cosignature of a note's text signs.

    Args:
        text: The text, with its final newline.
        at: Seconds since 1970.
    """
    return b"cosignature/v1\ntime %d\n%b" % (at, text)


def split_note(note: bytes) -> tuple[bytes, list[SignatureLine]]:
    """Return a note's text and its signatures, without checking these.

    Raises:
        EvidenceError: It is not a signed note.
    """
    head, found, tail = note.rpartition(b"\n\n")
    if not found or not tail.endswith(b"\n"):
        raise EvidenceError("the checkpoint is not a signed note: no signature lines")
    if _CONTROL.search(_text(note)):
        raise EvidenceError("the checkpoint is not a note: it has control characters")
    lines = _text(tail).split("\n")[:-1]
    if len(lines) > _MOST_SIGNATURES:
        raise EvidenceError(
            f"the checkpoint has {len(lines)} signatures; at most {_MOST_SIGNATURES} "
            "are read"
        )
    return head + b"\n", [_read_line(line) for line in lines]


def open_note(note: bytes, keys: Keys) -> bytes:
    """Check a note's signatures and return its text.

    Args:
        note: The whole note.
        keys: Keys one trusts: raw by name, or verifier keys.

    Raises:
        EvidenceError: It is not a signed note, or no trusted key signed it.
    """
    text, _ = _open(note, read_keys(keys))
    return text


def _open(note: bytes, known: KnownKeys) -> tuple[bytes, list[NoteKey]]:
    text, lines = split_note(note)
    signers = [key for key, _ in known_signatures(text, lines, known)]
    if not signers:
        raise EvidenceError(
            "no trusted key signed the checkpoint; trusted are "
            f"{sorted(name for name, _ in known)}"
        )
    return text, signers


def known_signatures(
    text: bytes, lines: list[SignatureLine], known: KnownKeys
) -> list[tuple[NoteKey, SignatureLine]]:
    """Return the signatures of known keys, each with its key, once they verify.

    Args:
        text: The note's text.
        lines: Its signatures.
        known: The keys one trusts.

    Raises:
        EvidenceError: One of a known key does not verify.
    """
    found = []
    for line in lines:
        key = known.get((line.name, line.key_id))
        if key is not None:
            _check_line(key, line, text)
            found.append((key, line))
    return found


def _check_line(key: NoteKey, line: SignatureLine, text: bytes) -> None:
    what = f"the checkpoint (by {key.name})"
    if key.algorithm == ED25519:
        verify_signature(key.public_key, line.signature, text, what=what)
    elif len(line.signature) != 72 or line.at > LARGEST_TIME:
        raise EvidenceError(f"{what} has a cosignature without a time and signature")
    else:
        signed = cosigned_text(text, line.at)
        verify_signature(key.public_key, line.signature[8:], signed, what=what)


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise EvidenceError("the checkpoint is not UTF-8 text") from error


def _read_line(line: str) -> SignatureLine:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "\u2014" or not is_name(parts[1]):
        raise EvidenceError(f"{line[:60]!r} is not a signature line of a note")
    token = strict_base64(parts[2])
    if len(token) < 5:
        raise EvidenceError(f"{line[:60]!r} has no signature after its key id")
    return SignatureLine(parts[1], token[:4], token[4:])


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


def open_checkpoint(note: bytes, keys: Keys) -> NoteCheckpoint:
    """Check a signed checkpoint and return what it says.

    Args:
        note: The signed note.
        keys: Keys one trusts: raw by name, or verifier keys. That of the log is the one
            whose name is the origin; it must have signed.

    Raises:
        EvidenceError: It is not a checkpoint, or no trusted key signed it.
    """
    known = read_keys(keys)
    text, signers = _open(note, known)
    said = read_checkpoint(text)
    if not any(key.name == said.origin and key.algorithm == ED25519 for key in signers):
        raise EvidenceError(
            f"the checkpoint is of the log {said.origin!r}, whose key is not trusted "
            f"or did not sign; trusted are {sorted(name for name, _ in known)}"
        )
    return said


def read_checkpoint(text: bytes) -> NoteCheckpoint:
    """Return what the text of a checkpoint says; signatures are not looked at.

    Raises:
        EvidenceError: It does not have origin, size and root, one line each, or a line
            is empty.
    """
    lines = _text(text).split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]) or not _SIZE.match(lines[1]):
        raise EvidenceError("the checkpoint does not have origin, size and root")
    root = strict_base64(lines[2])
    if len(root) != 32:
        raise EvidenceError("the checkpoint's root is not a SHA-256 hash")
    return NoteCheckpoint(lines[0], int(lines[1]), root, tuple(lines[3:-1]))
