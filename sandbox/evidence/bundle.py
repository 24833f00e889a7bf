"""A trial's evidence as one folder that a stranger can check offline.

Rules of this module:

* `manifest.json` lists every file with size and SHA-256; `manifest.dsse.json` signs it.
  Both are canonical JSON. There is no other file, so no byte can change unseen.
* `entries.jsonl` holds the trial's log entries, each with its proof of inclusion in
  `checkpoint`; `checkpoints.jsonl` every earlier checkpoint with its proof of
  consistency, `cosignatures.jsonl` those that came back from witnesses, and
  `timestamps.jsonl` those that were stamped (RFC 3161); `segments/` the statements and
  the raw bytes they speak of, packed with gzip, which every standard library reads, or
  the statement alone of a segment that the log says was erased; `keys.json` every key
  the log had; `documents/` whatever else belongs to the story.
* A bundle appears whole or not at all, and only of a trial whose segments are sealed
  and logged, but for those that an incident in the log says are damaged.
"""

from __future__ import annotations

import re
import shutil
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import zstandard

from sandbox import __version__
from sandbox.errors import EvidenceError
from sandbox.evidence.attest import (
    MANIFEST_PREDICATE,
    Subject,
    canonical,
    sha256,
    sign_statement,
    statement,
)
from sandbox.evidence.damaged import without_damaged
from sandbox.evidence.erased import read_erasures
from sandbox.evidence.hashtree import HashTree
from sandbox.evidence.layout import FORMAT
from sandbox.evidence.log import key_history, sign_checkpoint
from sandbox.model.log import Checkpoint, LoggedEntry, Timestamp
from sandbox.ports import Log, Segments, Signer

_DOCUMENT = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
_PACKING_LEVEL = 3


class BundleSource(NamedTuple):
    """Where the parts of a bundle come from."""

    log: Log
    segments: Segments
    signer: Signer
    documents: Mapping[str, bytes] = MappingProxyType({})
    """Further files by plain name; they are listed and signed, not interpreted."""
    also_entries_of: tuple[str, ...] = ()
    """Further owners of log entries to include, for example `rulebook/{id}`."""


class _Folder:
    """A bundle while it is written; remembers what was put where."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.files: list[dict[str, Any]] = []

    def add(self, name: str, data: bytes) -> None:
        target = self._path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        digest = sha256(data)[7:]
        self.files.append({"name": name, "sha256": digest, "size": len(data)})


def write_bundle(
    directory: Path, *, trial_id: str, source: BundleSource
) -> dict[str, Any]:
    """Write the bundle of a trial; an earlier bundle at that place is replaced.

    Signs a checkpoint of the log as it stands.

    Args:
        directory: Where the bundle appears.
        trial_id: Whose evidence it is.
        source: Log, segments, key and further documents.

    Returns:
        `directory`, `manifest_digest`, `files`, `entries`, `segments` and `checkpoint`
        (`origin`, `size`, `root`), ready for JSON.

    Raises:
        EvidenceError: A segment is not sealed or not logged, a document's name is not
            plain, something else is at that place, or it cannot be written.
        RecorderError: A segment cannot be read.
        RecordsError: The log cannot be read.
    """
    _check_place(directory)
    checkpoint = sign_checkpoint(source.log, source.signer)
    entries = _entries(trial_id, source, checkpoint)
    numbers = _sealed_numbers(trial_id, source.segments, entries)
    kept = _kept(trial_id, source.segments, entries)
    partial = partial_bundle(directory)
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        folder = _Folder(partial)
        _add_log(folder, entries, checkpoint, source)
        _add_segments(folder, trial_id, (numbers, kept), source.segments)
        _add_documents(folder, source.documents)
        manifest = _add_manifest(folder, trial_id, source)
        shutil.rmtree(directory, ignore_errors=True)
        partial.rename(directory)
    except OSError as error:
        raise EvidenceError(
            f"the bundle cannot be written to {directory}: {error}; free the place or "
            "name another one"
        ) from error
    return {
        "directory": str(directory),
        "manifest_digest": sha256(manifest),
        "files": len(folder.files),
        "entries": len(entries),
        "segments": len(numbers),
        "checkpoint": checkpoint.model_dump(
            mode="json", include={"origin", "size", "root"}
        ),
    }


def partial_bundle(directory: Path) -> Path:
    """Return where a bundle lies while it is written; left over by an interruption."""
    return directory.with_name(f".{directory.name}.partial")


def _check_place(directory: Path) -> None:
    if not directory.exists():
        return
    is_bundle = directory.is_dir() and (directory / "manifest.dsse.json").is_file()
    if not is_bundle and not (directory.is_dir() and not any(directory.iterdir())):
        raise EvidenceError(
            f"{directory} exists and is not a bundle; it is not overwritten: name "
            "another place"
        )


def _entries(
    trial_id: str, source: BundleSource, checkpoint: Checkpoint
) -> list[LoggedEntry]:
    owners = dict.fromkeys((trial_id, *source.also_entries_of))
    found = [entry for owner in owners for entry in source.log.entries(owner)]
    covered = (item for item in found if item.index < checkpoint.size)
    return sorted(covered, key=lambda item: item.index)


def _sealed_numbers(
    trial_id: str, segments: Segments, entries: list[LoggedEntry]
) -> list[int]:
    files = without_damaged(segments.files(trial_id), [x.entry for x in entries])
    unsealed = [
        f"{item.number} is {item.state}"
        for item in files
        if item.state not in ("sealed", "erased")
    ]
    if unsealed:
        raise EvidenceError(
            f"not every segment of trial {trial_id} is sealed: segment "
            f"{', '.join(unsealed)}; roll and seal first"
        )
    logged = {
        f"{item.entry.body.get('file')}"
        for item in entries
        if item.entry.kind == "segment" and item.entry.trial_id == trial_id
    }
    names = {f"{item.number:06d}.zst" for item in files}
    if logged != names:
        raise EvidenceError(
            f"the log and the evidence folder of trial {trial_id} do not name the same "
            f"segments: only in one of them are {sorted(logged ^ names)}"
        )
    return [item.number for item in files]


def _kept(
    trial_id: str, segments: Segments, entries: list[LoggedEntry]
) -> frozenset[int]:
    """Return the segments whose bytes belong into the bundle."""
    logged = [item.entry.model_dump(mode="json") for item in entries]
    erased = read_erasures(logged, trial_id).segments
    for item in segments.files(trial_id):
        if item.state == "erased" and item.number not in erased:
            raise EvidenceError(
                f"the bytes of segment {item.number} of trial {trial_id} are gone, and "
                "no entry of the log says that they were erased; if they are being "
                "erased at this moment, try again, else restore them from a copy"
            )
    return frozenset(
        item.number for item in segments.files(trial_id) if item.number not in erased
    )


def _add_log(
    folder: _Folder,
    entries: list[LoggedEntry],
    checkpoint: Checkpoint,
    source: BundleSource,
) -> None:
    tree = HashTree(source.log.hashes, checkpoint.size)
    lines = [
        {
            "index": item.index,
            "entry": item.entry.model_dump(mode="json"),
            "proof": [step.hex() for step in tree.inclusion_proof(item.index)],
        }
        for item in entries
    ]
    kept = [item for item in source.log.checkpoints() if item.note != checkpoint.note]
    stamped = source.log.timestamps()
    folder.add("checkpoint", checkpoint.note.encode())
    folder.add("entries.jsonl", _lines(lines))
    folder.add("checkpoints.jsonl", _lines(_continued(kept, tree)))
    folder.add("cosignatures.jsonl", _lines(_continued(source.log.cosigned(), tree)))
    folder.add("timestamps.jsonl", _lines(_continued(stamped, tree)))
    history = key_history(source.log, source.signer)
    folder.add("keys.json", canonical(history.to_json(tree.inclusion_proof)))


def _continued(
    items: Sequence[Checkpoint | Timestamp], tree: HashTree
) -> list[dict[str, Any]]:
    """Return the notes that the log still continues, each with the proof of it."""
    return [
        {
            "note": item.note,
            "consistency": [step.hex() for step in tree.consistency_proof(item.size)],
            **_stamp(item),
        }
        for item in items
        if item.size <= tree.size
    ]


def _stamp(item: Checkpoint | Timestamp) -> dict[str, Any]:
    if isinstance(item, Checkpoint):
        return {}
    return {"token": item.token, "chain": list(item.chain)}


def _lines(items: list[dict[str, Any]]) -> bytes:
    return b"".join(canonical(item) + b"\n" for item in items)


def _add_segments(
    folder: _Folder,
    trial_id: str,
    numbers: tuple[list[int], frozenset[int]],
    segments: Segments,
) -> None:
    every, kept = numbers
    for number in every:
        envelope = segments.read_envelope(trial_id, number)
        if number in kept:
            compressed, _ = segments.read_sealed(trial_id, number)
            folder.add(f"segments/{number:06d}.gz", _repack(compressed))
        folder.add(f"segments/{number:06d}.dsse.json", envelope)


def _repack(compressed: bytes) -> bytes:
    raw = zstandard.ZstdDecompressor().decompress(compressed)
    packer = zlib.compressobj(_PACKING_LEVEL, wbits=31)
    return packer.compress(raw) + packer.flush()


def _add_documents(folder: _Folder, documents: Mapping[str, bytes]) -> None:
    for name in sorted(documents):
        if not _DOCUMENT.match(name):
            raise EvidenceError(
                f"{name!r} cannot be a document of a bundle; use letters, digits, "
                "dots, hyphens and underscores"
            )
        folder.add(f"documents/{name}", documents[name])


def _add_manifest(folder: _Folder, trial_id: str, source: BundleSource) -> bytes:
    owners = [trial_id, *source.also_entries_of]
    manifest = canonical(
        {
            "kind": "bundle-manifest",
            "format": FORMAT,
            "trial_id": trial_id,
            "entries_of": list(dict.fromkeys(owners)),
            "tool": {"name": "regulatory-sandbox", "version": __version__},
            "files": sorted(folder.files, key=lambda item: str(item["name"])),
        }
    )
    payload = statement(
        [Subject("manifest.json", sha256(manifest))],
        predicate_type=MANIFEST_PREDICATE,
        predicate={"trial_id": trial_id},
    )
    folder.add("manifest.json", manifest)
    folder.add("manifest.dsse.json", sign_statement(payload, source.signer).envelope)
    return manifest
