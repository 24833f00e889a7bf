"""The history of a log's key: which key counts at which place of the log.

Rules of this module:

* A log has one name, and one key at a time. A change of key is an entry of the log, of
  kind `key`; the new key is in force from that entry on.
* The entry is signed by the key before it and by the new one, each naming the other
  (Ed25519 over the DSSE PAE of its canonical JSON).
* A signature counts only by the key in force at its place: that of a statement at its
  entry, that of a checkpoint at the last entry it covers.
* Whoever trusts one key of a history reaches the others through those signatures, in
  both directions; a key never comes back.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from sandbox.errors import EvidenceError
from sandbox.evidence.attest import Signs, canonical, pae
from sandbox.evidence.layout import fields, read_hashes
from sandbox.evidence.merkle import leaf_hash, verify_inclusion
from sandbox.evidence.note import (
    NoteCheckpoint,
    open_checkpoint,
    read_checkpoint,
    split_note,
    verify_signature,
)
from sandbox.evidence.vkey import (
    check_public_key,
    is_name,
    strict_base64,
)

KEY_OWNER = "log/keys"
"""Whose entries the changes of key are."""
CHANGE_TYPE = "application/vnd.regulatory-sandbox.key-change+json"

_BODY = ("name", "number", "previous", "public_key", "signatures")
_ENTRY = ("kind", "entry_id", "trial_id", "recorded_at", "body")


class NamedSigner(Signs, Protocol):
    """The part of `sandbox.ports.Signer` that is needed here."""

    @property
    def name(self) -> str:
        """Name of the key: the log's origin."""
        ...


class LoggedChange(NamedTuple):
    """An entry of kind `key` with its place, as JSON-ready data."""

    place: int
    entry: dict[str, Any]


class LogKey(NamedTuple):
    """A key of the log."""

    since: int
    """Place of the log from which it is in force."""
    public_key: bytes


class KeyHistory(NamedTuple):
    """Every key of a log, oldest first, once the signatures between them hold."""

    name: str
    keys: tuple[LogKey, ...]
    changes: tuple[LoggedChange, ...] = ()
    """One for each key after the first."""

    @property
    def latest(self) -> bytes:
        """The raw public key in force now."""
        return self.keys[-1].public_key

    def at(self, index: int) -> bytes:
        """Return the raw public key in force at a place; before any, the first."""
        in_force = [key for key in self.keys if key.since <= index]
        return (in_force or self.keys[:1])[-1].public_key

    def knows(self, public_key: bytes) -> bool:
        """Return whether a raw public key is, or was, the log's."""
        return any(key.public_key == public_key for key in self.keys)

    def open(self, note: bytes) -> NoteCheckpoint:
        """Check a signed checkpoint with the key in force at its last entry.

        Raises:
            EvidenceError: It is not a checkpoint of this log, or is signed by a key
                that was not in force there.
        """
        text, _ = split_note(note)
        size = read_checkpoint(text).size
        try:
            return open_checkpoint(note, {self.name: self.at(size - 1)})
        except EvidenceError as error:
            raise EvidenceError(
                f"{error.diagnosis}; at {size} entries only the key then in force signs"
            ) from error

    def to_json(self, prove: Callable[[int], list[bytes]]) -> dict[str, Any]:
        """Return the history as it stands in `keys.json`.

        Args:
            prove: Gives the proof of inclusion of the entry at a place of the log.
        """
        proven = [
            {
                "entry": change.entry,
                "proof": [step.hex() for step in prove(change.place)],
            }
            for change in self.changes
        ]
        return {
            "algorithm": "ed25519",
            "name": self.name,
            "keys": [
                {"public_key": key.public_key.hex(), "since": key.since, "change": how}
                for key, how in zip(self.keys, [None, *proven], strict=True)
            ],
        }


def change_body(old: NamedSigner, new: Signs, *, number: int) -> dict[str, Any]:
    """Return the body of the entry that puts a new key in force.

    Args:
        old: Holder of the key in force.
        new: Holder of the new key.
        number: Number of the new key, the log's first being 1.

    Raises:
        EvidenceError: The new key is weak.
    """
    check_public_key(new.public_key, what="the new key of the log")
    said = {
        "name": old.name,
        "number": number,
        "previous": old.public_key.hex(),
        "public_key": new.public_key.hex(),
    }
    signed = pae(CHANGE_TYPE, canonical(said))
    return {
        **said,
        "signatures": {
            "previous": base64.b64encode(old.sign(signed)).decode(),
            "new": base64.b64encode(new.sign(signed)).decode(),
        },
    }


def build_history(
    name: str, first: bytes, changes: Iterable[LoggedChange]
) -> KeyHistory:
    """Return the history of a log's key, once every change is signed by both keys.

    Args:
        name: The log's origin.
        first: Its first key, 32 raw bytes.
        changes: The entries of kind `key`, in log order.

    Raises:
        EvidenceError: A key is weak or comes back, or a change is not what it must be.
    """
    if not is_name(name):
        raise EvidenceError(f"{name!r} cannot name a log; no space, no plus sign")
    check_public_key(first, what="the first key of the log")
    keys, told = [LogKey(0, first)], []
    for change in changes:
        what = f"change {len(keys)} of the log's key"
        new = _check_change(name, keys, change, what)
        keys.append(LogKey(change.place, new))
        told.append(change)
    return KeyHistory(name, tuple(keys), tuple(told))


def _check_change(
    name: str, keys: list[LogKey], change: LoggedChange, what: str
) -> bytes:
    fields(change.entry, _ENTRY, what)
    number, last = len(keys) + 1, keys[-1]
    place = ("key", f"{KEY_OWNER}/{number}", KEY_OWNER)
    if tuple(change.entry[field] for field in _ENTRY[:3]) != place:
        raise EvidenceError(f"{what} is not entry {place[1]} of the log")
    said_name, said_number, previous, public_key, signatures = fields(
        change.entry["body"], _BODY, what
    )
    wanted = (name, number, last.public_key.hex())
    if (said_name, said_number, previous) != wanted:
        raise EvidenceError(f"{what} does not follow the key before it")
    new = _raw(public_key, what)
    if not _is_later(change.place, keys):
        raise EvidenceError(f"{what} is out of order in the log")
    if any(key.public_key == new for key in keys):
        raise EvidenceError(f"{what} brings back an earlier key")
    _check_signatures(change.entry["body"], signatures, what)
    return new


def _is_later(index: Any, keys: list[LogKey]) -> bool:
    if not isinstance(index, int) or isinstance(index, bool):
        return False
    return index > keys[-1].since or (index == 0 and len(keys) == 1)


def _raw(text: Any, what: str) -> bytes:
    try:
        raw = bytes.fromhex(text)
    except (TypeError, ValueError) as error:
        raise EvidenceError(f"{what}: its key cannot be read") from error
    if raw.hex() != text:
        raise EvidenceError(f"{what}: its key is not in lower-case hexadecimal")
    check_public_key(raw, what=f"{what}: its key")
    return raw


def _check_signatures(body: dict[str, Any], signatures: Any, what: str) -> None:
    by = fields(signatures, ("previous", "new"), f"{what}: its signatures")
    said = {field: body[field] for field in _BODY[:4]}
    signed = pae(CHANGE_TYPE, canonical(said))
    for signature, holder in zip(by, ("previous", "public_key"), strict=True):
        verify_signature(
            bytes.fromhex(body[holder]),
            strict_base64(str(signature)),
            signed,
            what=f"{what} by the {'new' if holder == 'public_key' else 'old'} key",
        )


def read_history(data: Any, *, what: str) -> tuple[KeyHistory, list[list[bytes]]]:
    """Return a history from its JSON form, and the proofs that its changes are logged.

    The signatures hold then; `check_logged` says whether the changes are logged.

    Args:
        data: Parsed `keys.json`.
        what: Named in errors.

    Raises:
        EvidenceError: It is not such a history, or a change is not signed by both keys.
    """
    algorithm, name, keys = fields(data, ("algorithm", "name", "keys"), what)
    if algorithm != "ed25519" or not isinstance(keys, list) or not keys:
        raise EvidenceError(f"{what} does not hold Ed25519 keys")
    first, since, change = fields(keys[0], ("public_key", "since", "change"), what)
    if (since, change) != (0, None) or isinstance(since, bool):
        raise EvidenceError(f"{what}: the first key is in force from the beginning")
    changes, proofs = [], []
    for item in keys[1:]:
        public_key, since, how = fields(item, ("public_key", "since", "change"), what)
        entry, proof = fields(how, ("entry", "proof"), what)
        if entry.get("body", {}).get("public_key") != public_key:
            raise EvidenceError(f"{what}: a key is not the one its change names")
        changes.append(LoggedChange(since, entry))
        proofs.append(read_hashes(proof, what))
    try:
        history = build_history(str(name), _raw(first, "its first key"), changes)
    except EvidenceError as error:
        raise EvidenceError(f"{what}: {error.diagnosis}") from error
    return history, proofs


def check_logged(
    history: KeyHistory, proofs: Sequence[Sequence[bytes]], checkpoint: NoteCheckpoint
) -> str:
    """Check that every change of key stands in the log, and say what was seen.

    Args:
        history: From `read_history`, as are the proofs.
        proofs: One for each change.
        checkpoint: Whose signature has been checked.

    Raises:
        EvidenceError: One does not; names it.
    """
    for change, proof in zip(history.changes, proofs, strict=True):
        try:
            verify_inclusion(
                leaf_hash=leaf_hash(canonical(change.entry)),
                index=change.place,
                size=checkpoint.size,
                proof=proof,
                root=checkpoint.root,
            )
        except EvidenceError as error:
            raise EvidenceError(
                f"keys.json: the change of key at entry {change.place} does not stand "
                f"there ({error.diagnosis})"
            ) from error
    if not history.changes:
        return "one key from the beginning"
    places = ", ".join(str(change.place) for change in history.changes)
    return f"{len(history.keys)} keys, changed at entry {places}"
