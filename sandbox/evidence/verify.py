"""Checks a bundle offline, without trusting whoever made it.

Rules of this module:

* It imports the standard library and `cryptography`, nothing else.
* It believes one thing: the public key. Give it with `key`; without, the key inside
  the bundle is used, and the first step says so.
* Every byte of every file counts; a file too many or too few is a failure.
* It counts frames and spans again from the raw bytes, with a reader of its own.
* It says each step in words and stops where the ground under the next one is gone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from sandbox.errors import EvidenceError
from sandbox.evidence.attest import (
    MANIFEST_PREDICATE,
    canonical,
    open_envelope,
    read_canonical,
    read_statement,
)
from sandbox.evidence.erased import (
    Erasures,
    check_erased,
    not_recounted,
    read_erasures,
)
from sandbox.evidence.layout import (
    fields,
    present,
    read_hashes,
    read_lines,
    read_manifest,
    stem,
)
from sandbox.evidence.merkle import leaf_hash, verify_consistency, verify_inclusion
from sandbox.evidence.note import NoteCheckpoint, open_checkpoint
from sandbox.evidence.order import check_order
from sandbox.evidence.steps import Step, run_steps
from sandbox.evidence.unseal import SegmentCount, check_segment

_SIGNED = ("manifest.json", "manifest.dsse.json")
_FILES = ("checkpoint", "checkpoints.jsonl", "entries.jsonl", "keys.json")


class Result(NamedTuple):
    """What the verifier found."""

    ok: bool
    steps: tuple[Step, ...]
    entries: int
    frames: int
    spans: int
    erased_frames: int = 0
    """As the statements of erased segments say; not counted again."""
    erased_spans: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the result ready for JSON, in the shape of `Verification`."""
        steps = [step._asdict() for step in self.steps]
        return {**self._asdict(), "kind": "verification", "steps": steps}


def verify_bundle(path: Path, *, key: bytes | None = None) -> Result:
    """Check a bundle.

    Args:
        path: Folder of the bundle.
        key: The 32 raw bytes of the public key one trusts; None trusts the bundle's.

    Returns:
        Every step up to the first failure; never raises for what is in the bundle.
    """
    check = _Check(path, key)
    steps = run_steps(check.plan())
    count = check.count
    ok = all(step.ok for step in steps)
    return Result(
        ok,
        steps,
        len(check.entries),
        frames=count.frames,
        spans=count.spans,
        erased_frames=count.erased_frames,
        erased_spans=count.erased_spans,
    )


class _Check:
    """State of one verification: what earlier steps established."""

    def __init__(self, path: Path, key: bytes | None) -> None:
        self._path = path
        self._given = key
        self._key = b""
        self._name = ""
        self._manifest: dict[str, Any] = {}
        self._files: dict[str, bytes] = {}
        self.entries: list[dict[str, Any]] = []
        self.count = SegmentCount(frames=0, spans=0, last_sequence=0)
        self._checkpoint = NoteCheckpoint("", 0, b"")
        self._erasures = Erasures({}, ())

    def plan(self) -> list[tuple[str, Callable[[], str]]]:
        return [
            ("The key that signs is known", self._read_key),
            ("The manifest is signed and unchanged", self._read_manifest),
            ("Every file is the one the manifest lists, and no other", self._files_ok),
            ("The checkpoint of the log is signed", self._read_checkpoint),
            ("Every entry stands in the log where it says", self._read_entries),
            ("Earlier checkpoints are continued, not rewritten", self._earlier),
            ("The entries tell one unbroken procedure", self._order),
            ("What was erased was erased lawfully, and is said", self._erased),
            ("Every segment is what its statement and the log say", self._segments),
        ]

    def _read_key(self) -> str:
        keys = read_canonical(self._read("keys.json"), what="keys.json")
        try:
            (item,) = keys["keys"]
            self._name = str(item["name"])
            self._key = bytes.fromhex(item["public_key"])
            rest = {"algorithm": "ed25519", "keys": [_key_item(self._name, self._key)]}
        except (KeyError, TypeError, ValueError) as error:
            raise EvidenceError("keys.json does not hold one Ed25519 key") from error
        if canonical(keys) != canonical(rest):
            raise EvidenceError("keys.json does not hold one Ed25519 key")
        if self._given is None:
            return f"trusting the key in the bundle ({self._key.hex()}); compare it"
        if self._given != self._key:
            raise EvidenceError("keys.json: the bundle is by another key than given")
        return "it is the key you gave"

    def _read_manifest(self) -> str:
        data = self._read("manifest.json")
        envelope = self._read("manifest.dsse.json")
        what = "manifest.dsse.json (checked with the key of keys.json)"
        payload = open_envelope(envelope, [self._key], what=what)
        said = read_statement(
            payload, predicate_type=MANIFEST_PREDICATE, what="manifest.dsse.json"
        )
        digest = hashlib.sha256(data).hexdigest()
        expected = [{"name": "manifest.json", "digest": {"sha256": digest}}]
        if said.get("subject") != expected:
            raise EvidenceError("manifest.json is not the one that was signed")
        self._manifest = read_manifest(read_canonical(data, what="manifest.json"))
        return f"trial {self._manifest['trial_id']}, sha256:{digest}"

    def _files_ok(self) -> str:
        listed = {item["name"]: item for item in self._manifest["files"]}
        there = present(self._path) - set(_SIGNED)
        for name in sorted(set(listed) - there):
            raise EvidenceError(f"{name} is missing")
        for name in sorted(there - set(listed)):
            raise EvidenceError(f"{name} does not belong here")
        for name in _FILES:
            if name not in listed:
                raise EvidenceError(f"{name} is not listed in manifest.json")
        for name, item in listed.items():
            data = self._read(name)
            digest = hashlib.sha256(data).hexdigest()
            if (digest, len(data)) != (item["sha256"], item["size"]):
                raise EvidenceError(f"{name} was changed: its SHA-256 is now {digest}")
            if name in _FILES:
                self._files[name] = data
        return f"{len(listed)} files"

    def _read_checkpoint(self) -> str:
        keys = {self._name: self._key}
        self._checkpoint = open_checkpoint(self._files["checkpoint"], keys)
        size = self._checkpoint.size
        return f"log {self._name}, {size} entries, root {self._checkpoint.root.hex()}"

    def _read_entries(self) -> str:
        lines = read_lines(self._files["entries.jsonl"], "entries.jsonl")
        last = -1
        for number, line in enumerate(lines, start=1):
            what = f"entries.jsonl line {number}"
            index, entry, proof = fields(line, ("index", "entry", "proof"), what)
            if not isinstance(index, int) or index <= last:
                raise EvidenceError(f"{what}: its index {index} is out of order")
            self._check_entry(entry, index, proof, what)
            last = index
            self.entries.append(entry)
        return f"{len(self.entries)} entries"

    def _check_entry(self, entry: Any, index: int, proof: Any, what: str) -> None:
        owner = entry.get("trial_id") if isinstance(entry, dict) else None
        if owner not in self._manifest["entries_of"]:
            raise EvidenceError(f"{what}: it belongs to {owner!r}, not to this bundle")
        try:
            verify_inclusion(
                leaf_hash=leaf_hash(canonical(entry)),
                index=index,
                size=self._checkpoint.size,
                proof=read_hashes(proof, what),
                root=self._checkpoint.root,
            )
        except EvidenceError as error:
            raise EvidenceError(f"{what}: {error.diagnosis}") from error

    def _earlier(self) -> str:
        lines = read_lines(self._files["checkpoints.jsonl"], "checkpoints.jsonl")
        for number, line in enumerate(lines, start=1):
            what = f"checkpoints.jsonl line {number}"
            note, proof = fields(line, ("note", "consistency"), what)
            old = open_checkpoint(str(note).encode(), {self._name: self._key})
            verify_consistency(
                old_size=old.size,
                new_size=self._checkpoint.size,
                proof=read_hashes(proof, what),
                old_root=old.root,
                new_root=self._checkpoint.root,
            )
        return f"{len(lines)} earlier checkpoints"

    def _order(self) -> str:
        return check_order(self.entries, self._manifest["trial_id"])

    def _erased(self) -> str:
        self._erasures = read_erasures(self.entries, self._manifest["trial_id"])
        return self._erasures.in_words()

    def _segments(self) -> str:
        logged = _logged_segments(self.entries, self._manifest["trial_id"])
        names = {f"segments/{number:06d}" for number in logged}
        unexpected = ""
        found = {stem(name) for name in present(self._path) if name.startswith("seg")}
        for name in sorted(names ^ found):
            raise EvidenceError(f"{name}: it is not both in the log and in the bundle")
        for number, body in sorted(logged.items()):
            envelope = self._read(f"segments/{number:06d}.dsse.json")
            payload = open_envelope(
                envelope, [self._key], what=f"segments/{number:06d}.dsse.json"
            )
            packed = self._packed(number)
            if packed is None:
                self.count = check_erased(body, payload, before=self.count)
                continue
            self.count = check_segment(body, payload, packed, before=self.count)
            if number in self._erasures.segments:
                unexpected += f"; segment {number} is here although it was erased"
        seen = self.count
        counted = f"{len(logged)} segments, {seen.frames} frames, {seen.spans} spans"
        return counted + not_recounted(seen) + unexpected

    def _packed(self, number: int) -> bytes | None:
        name = f"segments/{number:06d}.gz"
        if number in self._erasures.segments and not (self._path / name).exists():
            return None
        return self._read(name)

    def _read(self, name: str) -> bytes:
        path = self._path / name
        if path.is_symlink() or not path.is_file():
            raise EvidenceError(f"{name} is missing or not a plain file")
        return path.read_bytes()


def _key_item(name: str, key: bytes) -> dict[str, str]:
    return {"name": name, "public_key": key.hex()}


def _logged_segments(
    entries: list[dict[str, Any]], trial_id: str
) -> dict[int, dict[str, Any]]:
    bodies = [
        entry["body"]
        for entry in entries
        if entry["kind"] == "segment" and entry["trial_id"] == trial_id
    ]
    try:
        numbered = {int(body["segment"]["number"]): body for body in bodies}
    except (KeyError, TypeError, ValueError) as error:
        raise EvidenceError("a segment entry of the log has no number") from error
    if sorted(numbered) != list(range(1, len(bodies) + 1)):
        raise EvidenceError(
            f"the log names segments {sorted(numbered)}; one is missing"
        )
    return numbered
