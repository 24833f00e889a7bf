"""`sandbox evidence tiles`, `disclose` and `disclosed`: the log in the hands of others.

What goes out goes as files; what comes back is checked without this installation.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from sandbox.adapters.objects_place import open_objects
from sandbox.errors import EvidenceError
from sandbox.evidence.__main__ import read_key
from sandbox.evidence.disclose import (
    LogHead,
    SegmentEvidence,
    make_disclosure,
    verify_disclosure,
)
from sandbox.evidence.hashtree import HashTree
from sandbox.evidence.log import key_history, sign_checkpoint
from sandbox.evidence.retention import segment_erasures
from sandbox.evidence.stamping import stamp_checkpoint
from sandbox.evidence.steps import in_words
from sandbox.evidence.tiles import Files, hash_files, log_files
from sandbox.model.erasure import SegmentErasure
from sandbox.model.log import Checkpoint
from workflows.activities.keeping import Ledger
from workflows.cli.output import say
from workflows.cli.setup import Home, read_settings
from workflows.worker import open_ledger

Out = Annotated[Path, typer.Argument(help="File to write.", dir_okay=False)]


def tiles(
    place: Annotated[
        str,
        typer.Argument(
            help="A folder, or a store: file:///PATH or s3://BUCKET/PREFIX."
        ),
    ],
    without_entries: Annotated[
        bool, typer.Option("--without-entries", help="Hashes and checkpoint only.")
    ] = False,
    home: Home = None,
) -> None:
    """Write the log as static files (C2SP tlog-tiles), the checkpoint last.

    In a store nothing is ever replaced: a checkpoint lies there under its size.
    """
    settings = read_settings(home)
    ledger, _ = open_ledger(settings)
    checkpoint = sign_checkpoint(ledger.log, ledger.signer)
    files = _log_files(ledger, checkpoint, entries=not without_entries)
    if "://" in place:
        objects = open_objects(place, settings)
        for name, data in files:
            is_note = name == "checkpoint"
            objects.put(f"checkpoints/{checkpoint.size}" if is_note else name, data)
    else:
        _write(Path(place), files)
    say(f"wrote the log at {checkpoint.size} entries to {place}")


def _log_files(ledger: Ledger, checkpoint: Checkpoint, *, entries: bool) -> Files:
    note = checkpoint.note.encode()
    if entries:
        return log_files(note, ledger.log.leaves(0, checkpoint.size))
    hashes = ledger.log.hashes(0, 0, checkpoint.size)
    return chain(hash_files(hashes), [("checkpoint", note)])


def timestamp(home: Home = None) -> None:
    """Sign a checkpoint, and keep an authority's word on when it existed (RFC 3161)."""
    ledger, _ = open_ledger(read_settings(home))
    if ledger.timestamps is None:
        raise EvidenceError(
            "no time-stamping authority is set; name its URL in SANDBOX_TSA_URL"
        )
    checkpoint = sign_checkpoint(ledger.log, ledger.signer)
    is_new = stamp_checkpoint(ledger.log, ledger.timestamps, checkpoint)
    say(f"{checkpoint.size} entries {'are' if is_new else 'were already'} stamped")


def disclose(
    trial: Annotated[str, typer.Argument(help="Name of the trial.")],
    file: Out,
    segment: Annotated[int, typer.Option(help="Number of the segment, from 1.")],
    frame: Annotated[int, typer.Option(help="Number of the request in it, from 1.")],
    home: Home = None,
) -> None:
    """Write one recorded request with the proof that it stands in the log."""
    ledger, _ = open_ledger(read_settings(home))
    evidence = _segment(ledger, trial, segment)
    checkpoint = sign_checkpoint(ledger.log, ledger.signer)
    tree = HashTree(ledger.log.hashes, checkpoint.size)
    history = key_history(ledger.log, ledger.signer)
    head = LogHead(checkpoint.note.encode(), tree, history)
    data = make_disclosure(evidence, head, frame=frame)
    _write(file.parent, iter([(file.name, data)]))
    say(f"disclosed request {frame} of segment {segment} of {trial} in {file}")


def disclosed(
    file: Annotated[Path, typer.Argument(help="A disclosure.", exists=True)],
    key: Annotated[Path, typer.Option(help="Public key of the log, which you trust.")],
) -> None:
    """Check a disclosure step by step; exit 1 if it does not verify."""
    result = verify_disclosure(file.read_bytes(), read_key(key))
    typer.echo(in_words(result.steps, verified="VERIFIED"))
    raise typer.Exit(0 if result.ok else 1)


def _segment(ledger: Ledger, trial: str, number: int) -> SegmentEvidence:
    name = f"{trial}/segment/{number:06d}"
    found = [item for item in ledger.log.entries(trial) if item.entry.entry_id == name]
    if not found:
        raise EvidenceError(
            f"the log has no sealed segment {number} of trial {trial!r}; "
            "`sandbox evidence log` lists what there is"
        )
    _check_kept(ledger, trial, number)
    raw = ledger.segments.read(trial, number)
    _, envelope = ledger.segments.read_sealed(trial, number)
    entry = found[0].entry.model_dump(mode="json")
    return SegmentEvidence(raw, envelope, entry, found[0].index)


def _check_kept(ledger: Ledger, trial: str, number: int) -> None:
    erasure = segment_erasures(ledger.log.entries(trial)).get(number)
    if erasure is not None:
        body = SegmentErasure.model_validate(erasure.entry.body)
        raise EvidenceError(
            f"segment {number} of trial {trial} was erased on "
            f"{erasure.entry.recorded_at.isoformat()} by {body.by.name} because of "
            f"{body.source} (log entry {erasure.index}); only its statement is left, "
            "and no request of it can be disclosed"
        )


def _write(folder: Path, files: Files) -> None:
    try:
        for name, data in files:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f".{target.name}.partial")
            partial.write_bytes(data)
            partial.replace(target)
    except OSError as error:
        raise EvidenceError(
            f"{error.filename} cannot be written: {error.strerror}; free the place or "
            "name another one"
        ) from error
