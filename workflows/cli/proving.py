"""`sandbox evidence tiles`, `disclose` and `disclosed`: the log in the hands of others.

What goes out goes as files; what comes back is checked without this installation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sandbox.errors import EvidenceError
from sandbox.evidence.__main__ import read_key
from sandbox.evidence.disclose import (
    LogHead,
    SegmentEvidence,
    make_disclosure,
    verify_disclosure,
)
from sandbox.evidence.log import key_history, leaf_data, sign_checkpoint
from sandbox.evidence.stamping import stamp_checkpoint
from sandbox.evidence.steps import in_words
from sandbox.evidence.tiles import Files, hash_files, log_files
from workflows.activities.keeping import Ledger
from workflows.cli.output import say
from workflows.cli.setup import Home, read_settings
from workflows.worker import open_ledger

Out = Annotated[Path, typer.Argument(help="File to write.", dir_okay=False)]


def tiles(
    folder: Annotated[Path, typer.Argument(help="Folder to write into.")],
    without_entries: Annotated[
        bool, typer.Option("--without-entries", help="Hashes and checkpoint only.")
    ] = False,
    home: Home = None,
) -> None:
    """Write the log as static files (C2SP tlog-tiles), the checkpoint last."""
    ledger, _ = open_ledger(read_settings(home))
    checkpoint = sign_checkpoint(ledger.log, ledger.signer)
    note = checkpoint.note.encode()
    if without_entries:
        hashes = ledger.log.leaf_hashes()[: checkpoint.size]
        _write(folder, hash_files(hashes))
        _write(folder, iter([("checkpoint", note)]))
    else:
        logged = ledger.log.entries()[: checkpoint.size]
        _write(folder, log_files(note, [leaf_data(item.entry) for item in logged]))
    say(f"wrote the log at {checkpoint.size} entries to {folder}")


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
    hashes = ledger.log.leaf_hashes()[: checkpoint.size]
    history = key_history(ledger.log, ledger.signer)
    head = LogHead(checkpoint.note.encode(), hashes, history)
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
    raw = ledger.segments.read(trial, number)
    _, envelope = ledger.segments.read_sealed(trial, number)
    entry = found[0].entry.model_dump(mode="json")
    return SegmentEvidence(raw, envelope, entry, found[0].index)


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
