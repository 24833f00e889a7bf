"""Checks a bundle offline, without trusting whoever made it.

Rules of this module:

* It imports the standard library and `cryptography`, nothing else.
* It believes one thing: a public key of the log, the present or an earlier one. Give it
  with `key`; without, the keys inside the bundle are used, and the first step says so.
* Witnesses and time-stamping authorities count only where one trusts them (`Trust`).
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
from sandbox.evidence.cosignatures import Witnesses, check_cosignatures
from sandbox.evidence.erased import (
    Erasures,
    check_erased,
    not_recounted,
    read_erasures,
)
from sandbox.evidence.keys import KeyHistory, check_logged, read_history
from sandbox.evidence.layout import (
    check_format,
    fields,
    present,
    read_hashes,
    read_lines,
    read_manifest,
    stem,
)
from sandbox.evidence.merkle import leaf_hash, verify_inclusion
from sandbox.evidence.note import NoteCheckpoint, open_checkpoint
from sandbox.evidence.order import check_order
from sandbox.evidence.stamps import Authorities, check_timestamps
from sandbox.evidence.steps import Step, run_steps
from sandbox.evidence.unseal import SegmentCount, check_segment
from sandbox.evidence.view import LogView

_SIGNED = ("manifest.json", "manifest.dsse.json")
_FILES = (
    "checkpoint",
    "checkpoints.jsonl",
    "cosignatures.jsonl",
    "entries.jsonl",
    "keys.json",
    "timestamps.jsonl",
)


class Trust(NamedTuple):
    """Whom one trusts besides the log's key."""

    witnesses: Witnesses = Witnesses()
    authorities: Authorities = Authorities()


NOBODY = Trust()


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


def verify_bundle(
    path: Path, *, key: bytes | None = None, trust: Trust = NOBODY
) -> Result:
    """Check a bundle.

    Args:
        path: Folder of the bundle.
        key: The 32 raw bytes of a public key of the log that one trusts; None trusts
            those in the bundle.
        trust: Whom one trusts besides.

    Returns:
        Every step up to the first failure; never raises for what is in the bundle.
    """
    check = _Check(path, key, trust)
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

    def __init__(self, path: Path, key: bytes | None, trust: Trust) -> None:
        self._path = path
        self._given = key
        self._trust = trust
        self._proofs: list[list[bytes]] = []
        self._manifest: dict[str, Any] = {}
        self._files: dict[str, bytes] = {}
        self.entries: list[dict[str, Any]] = []
        self.count = SegmentCount(frames=0, spans=0, last_sequence=0)
        self._view = LogView(KeyHistory("", ()), NoteCheckpoint("", 0, b""))
        self._places: list[int] = []
        self._erasures = Erasures({}, ())

    def plan(self) -> list[tuple[str, Callable[[], str]]]:
        return [
            ("The key that signs is known", self._read_keys),
            ("The manifest is signed and unchanged", self._read_manifest),
            ("Every file is the one the manifest lists, and no other", self._files_ok),
            ("The checkpoint of the log is signed", self._read_checkpoint),
            ("Every change of the log's key stands in the log", self._changes),
            ("Every entry stands in the log where it says", self._read_entries),
            ("Earlier checkpoints are continued, not rewritten", self._earlier),
            ("Cosignatures of witnesses hold", self._cosignatures),
            ("Timestamps of the log hold", self._timestamps),
            ("The entries tell one unbroken procedure", self._order),
            ("What was erased was erased lawfully, and is said", self._erased),
            ("Every segment is what its statement and the log say", self._segments),
        ]

    def _read_keys(self) -> str:
        check_format(read_canonical(self._read("manifest.json"), what="manifest.json"))
        data = read_canonical(self._read("keys.json"), what="keys.json")
        history, self._proofs = read_history(data, what="keys.json")
        self._view = self._view._replace(history=history)
        key = history.latest.hex()
        if self._given is None:
            return f"trusting the key in the bundle ({key}); compare it"
        if not history.knows(self._given):
            raise EvidenceError("keys.json: the bundle is by another key than given")
        if self._given != history.latest:
            return f"it follows from the key you gave; the one in force is {key}"
        return "it is the key you gave"

    def _read_manifest(self) -> str:
        data = self._read("manifest.json")
        envelope = self._read("manifest.dsse.json")
        what = "manifest.dsse.json (checked with the key of keys.json)"
        payload = open_envelope(envelope, [self._view.history.latest], what=what)
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
        history = self._view.history
        said = open_checkpoint(
            self._files["checkpoint"], {history.name: history.latest}
        )
        self._view = self._view._replace(checkpoint=said)
        return f"log {said.origin}, {said.size} entries, root {said.root.hex()}"

    def _changes(self) -> str:
        return check_logged(self._view.history, self._proofs, self._view.checkpoint)

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
            self._places.append(index)
        return f"{len(self.entries)} entries"

    def _check_entry(self, entry: Any, index: int, proof: Any, what: str) -> None:
        owner = entry.get("trial_id") if isinstance(entry, dict) else None
        if owner not in self._manifest["entries_of"]:
            raise EvidenceError(f"{what}: it belongs to {owner!r}, not to this bundle")
        try:
            verify_inclusion(
                leaf_hash=leaf_hash(canonical(entry)),
                index=index,
                size=self._view.checkpoint.size,
                proof=read_hashes(proof, what),
                root=self._view.checkpoint.root,
            )
        except EvidenceError as error:
            raise EvidenceError(f"{what}: {error.diagnosis}") from error

    def _earlier(self) -> str:
        lines = read_lines(self._files["checkpoints.jsonl"], "checkpoints.jsonl")
        for number, line in enumerate(lines, start=1):
            what = f"checkpoints.jsonl line {number}"
            note, proof = fields(line, ("note", "consistency"), what)
            self._view.earlier(note, proof, what=what)
        return f"{len(lines)} earlier checkpoints"

    def _cosignatures(self) -> str:
        return check_cosignatures(
            self._files["cosignatures.jsonl"],
            view=self._view,
            witnesses=self._trust.witnesses,
            entries=self._covering(),
        )

    def _timestamps(self) -> str:
        return check_timestamps(
            self._files["timestamps.jsonl"],
            view=self._view,
            authorities=self._trust.authorities,
            entries=self._covering(),
        )

    def _covering(self) -> int:
        """Return the size at which the log holds every entry of the bundle."""
        return self._places[-1] + 1 if self._places else 0

    def _order(self) -> str:
        return check_order(self.entries, self._manifest["trial_id"])

    def _erased(self) -> str:
        self._erasures = read_erasures(self.entries, self._manifest["trial_id"])
        return self._erasures.in_words()

    def _segments(self) -> str:
        trial_id = self._manifest["trial_id"]
        logged = _logged_segments(self.entries, self._places, trial_id)
        names = {f"segments/{number:06d}" for number in logged}
        unexpected = ""
        found = {stem(name) for name in present(self._path) if name.startswith("seg")}
        for name in sorted(names ^ found):
            raise EvidenceError(f"{name}: it is not both in the log and in the bundle")
        for number, (place, body) in sorted(logged.items()):
            envelope = self._read(f"segments/{number:06d}.dsse.json")
            what = f"segments/{number:06d}.dsse.json"
            key = self._view.history.at(place)
            payload = open_envelope(envelope, [key], what=what)
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


def _logged_segments(
    entries: list[dict[str, Any]], places: list[int], trial_id: str
) -> dict[int, tuple[int, dict[str, Any]]]:
    bodies = [
        (place, entry["body"])
        for place, entry in zip(places, entries, strict=True)
        if entry["kind"] == "segment" and entry["trial_id"] == trial_id
    ]
    try:
        numbered = {int(item[1]["segment"]["number"]): item for item in bodies}
    except (KeyError, TypeError, ValueError) as error:
        raise EvidenceError("a segment entry of the log has no number") from error
    if sorted(numbered) != list(range(1, len(bodies) + 1)):
        raise EvidenceError(
            f"the log names segments {sorted(numbered)}; one is missing"
        )
    return numbered
