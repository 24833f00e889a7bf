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
from sandbox.evidence.place import BundleFolder, replacing, writing_alone
from sandbox.evidence.retention import sealed_segments
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


def write_bundle(
    directory: Path, *, trial_id: str, source: BundleSource
) -> dict[str, Any]:
    """Write the bundle of a trial; an earlier bundle at that place is replaced.

    Signs a checkpoint of the log as it stands. Of several who write at the same place
    one waits for the other.

    Args:
        directory: Where the bundle appears.
        trial_id: Whose evidence it is.
        source: Log, segments, key and further documents.

    Returns:
        `directory`, `manifest_digest`, `files`, `entries`, `segments` and `checkpoint`
        (`origin`, `size`, `root`), ready for JSON.

    Raises:
        EvidenceError: A segment is not sealed or not logged, or its sealed file is
            damaged, a document's name is not plain, something else is at that place,
            or it cannot be written.
        RecorderError: A segment cannot be read.
        RecordsError: The log cannot be read.
    """
    with writing_alone(directory):
        return _write(directory, trial_id, source)


def _write(directory: Path, trial_id: str, source: BundleSource) -> dict[str, Any]:
    checkpoint = sign_checkpoint(source.log, source.signer)
    entries = _entries(trial_id, source, checkpoint)
    sealed = _sealed(trial_id, source.segments, entries)
    kept = _kept(trial_id, source.segments, entries)
    with replacing(directory) as folder:
        _add_log(folder, entries, checkpoint, source)
        _add_segments(folder, trial_id, (sealed, kept), source.segments)
        _add_documents(folder, source.documents)
        manifest = _add_manifest(folder, trial_id, source)
    return {
        "directory": str(directory),
        "manifest_digest": sha256(manifest),
        "files": len(folder.files),
        "entries": len(entries),
        "segments": len(sealed),
        "checkpoint": checkpoint.model_dump(
            mode="json", include={"origin", "size", "root"}
        ),
    }


def _entries(
    trial_id: str, source: BundleSource, checkpoint: Checkpoint
) -> list[LoggedEntry]:
    owners = dict.fromkeys((trial_id, *source.also_entries_of))
    found = [entry for owner in owners for entry in source.log.entries(owner)]
    covered = (item for item in found if item.index < checkpoint.size)
    return sorted(covered, key=lambda item: item.index)


def _sealed(
    trial_id: str, segments: Segments, entries: list[LoggedEntry]
) -> dict[int, str]:
    """Return the digest of the raw bytes that the log says, by number of segment."""
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
    own = [item for item in entries if item.entry.trial_id == trial_id]
    sealed = sealed_segments(own)
    logged = {item.file for item in sealed.values()}
    names = {f"{item.number:06d}.zst" for item in files}
    if logged != names:
        raise EvidenceError(
            f"the log and the evidence folder of trial {trial_id} do not name the same "
            f"segments: only in one of them are {sorted(logged ^ names)}"
        )
    return {number: item.segment.raw_digest for number, item in sealed.items()}


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
    folder: BundleFolder,
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
    folder: BundleFolder,
    trial_id: str,
    numbers: tuple[dict[int, str], frozenset[int]],
    segments: Segments,
) -> None:
    every, kept = numbers
    for number, digest in sorted(every.items()):
        envelope = segments.read_envelope(trial_id, number)
        if number in kept:
            compressed, _ = segments.read_sealed(trial_id, number)
            packed = _repack(compressed, digest, f"segment {number} of {trial_id}")
            folder.add(f"segments/{number:06d}.gz", packed)
        folder.add(f"segments/{number:06d}.dsse.json", envelope)


def _repack(compressed: bytes, digest: str, what: str) -> bytes:
    try:
        raw = zstandard.ZstdDecompressor().decompress(compressed)
    except zstandard.ZstdError as error:
        raise EvidenceError(
            f"{what} cannot be unpacked ({error}): its sealed file is damaged; restore "
            "it from a copy"
        ) from error
    if sha256(raw) != digest:
        raise EvidenceError(
            f"{what} does not hold the bytes that its log entry names: its sealed file "
            "was changed; restore it from a copy"
        )
    packer = zlib.compressobj(_PACKING_LEVEL, wbits=31)
    return packer.compress(raw) + packer.flush()


def _add_documents(folder: BundleFolder, documents: Mapping[str, bytes]) -> None:
    for name in sorted(documents):
        if not _DOCUMENT.match(name):
            raise EvidenceError(
                f"{name!r} cannot be a document of a bundle; use letters, digits, "
                "dots, hyphens and underscores"
            )
        folder.add(f"documents/{name}", documents[name])


def _add_manifest(folder: BundleFolder, trial_id: str, source: BundleSource) -> bytes:
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
