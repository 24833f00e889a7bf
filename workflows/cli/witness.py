"""`sandbox evidence witness`: the regulator's own signature under the log.

It runs on a machine of the witness, needs no server, and keeps one key and the last
note it signed in a folder of its own.
"""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Annotated

import typer

from sandbox.adapters.clock import SystemClock
from sandbox.adapters.durable import replace_file
from sandbox.adapters.signer import FileSigner
from sandbox.errors import EvidenceError
from sandbox.evidence.__main__ import read_key
from sandbox.evidence.layout import fields, read_hashes, read_lines
from sandbox.evidence.note import (
    NoteCheckpoint,
    open_checkpoint,
    read_checkpoint,
    split_note,
)
from sandbox.evidence.verify import verify_bundle
from sandbox.evidence.vkey import COSIGNATURE, NoteKey, check_public_key
from sandbox.evidence.witness import Growth, check_growth, cosign, open_cosignatures
from workflows.cli.output import Format, Output, emit, say

_LAST = "last.note"
State = Annotated[Path, typer.Option(help="Folder of the witness: key and last note.")]
Name = Annotated[str, typer.Option(help="Name of the witness, without space and +.")]


def witness(
    bundle: Annotated[Path, typer.Argument(help="A bundle's directory.")],
    key: Annotated[Path, typer.Option(help="Public key of the log, which you trust.")],
    state: State,
    name: Name = "witness",
) -> None:
    """Cosign a bundle's checkpoint if the log only grew since the last one signed."""
    signer = FileSigner(state / "witness.key", name)
    log_key = read_key(key)
    check_public_key(log_key, what="the key of the log")
    result = verify_bundle(bundle, key=log_key)
    if not result.ok:
        raise EvidenceError(
            f"{bundle} does not verify, so it is not signed: {result.steps[-1].detail}"
        )
    note = (bundle / "checkpoint").read_bytes()
    new = _open(note, log_key)
    last = state / _LAST
    with (state / "lock").open("w") as lock:
        # Between the check and the save nobody else may sign (C2SP tlog-witness).
        fcntl.flock(lock, fcntl.LOCK_EX)
        if last.exists():
            old = _open(last.read_bytes(), log_key)
            check_growth(Growth(old, new, _proof(bundle, old, new)))
        else:
            say(
                f"there is no {last}: nothing earlier is compared; if you signed this"
                " log before, restore that note first"
            )
        signed = cosign(note, signer, at=SystemClock().now())
        replace_file(last, signed)
    say(f"signed {new.origin} at {new.size} entries as {name}; kept as {last}")
    typer.echo(signed.decode(), nl=False)


def witness_key(state: State, name: Name = "witness") -> None:
    """Print the witness's public key as one line, to be handed over on another way."""
    signer = FileSigner(state / "witness.key", name)
    typer.echo(NoteKey(name, signer.public_key, COSIGNATURE).vkey())


def cosigned(
    note: Annotated[
        Path, typer.Argument(help="A cosigned note.", exists=True, dir_okay=False)
    ],
    witnesses: Annotated[
        list[str], typer.Option("--witness", help="Key line of a witness you trust.")
    ],
    output: Output = Format.table,
) -> None:
    """Say which of the witnesses you trust signed a note, and when; exit 1 if none."""
    found = open_cosignatures(note.read_bytes(), witnesses)
    rows = [{"witness": item.witness, "at": item.at.isoformat()} for item in found]
    emit(rows, output, name="witness")
    raise typer.Exit(0 if found else 1)


def _open(note: bytes, log_key: bytes) -> NoteCheckpoint:
    text, _ = split_note(note)
    return open_checkpoint(note, {read_checkpoint(text).origin: log_key})


def _proof(bundle: Path, old: NoteCheckpoint, new: NoteCheckpoint) -> list[bytes]:
    """Return the bundle's proof from the size signed last; nothing of it is trusted."""
    if old.size >= new.size:
        return []
    name = "checkpoints.jsonl"
    for line in read_lines((bundle / name).read_bytes(), name):
        note, proof = fields(line, ("note", "consistency"), name)
        text, _ = split_note(str(note).encode())
        if read_checkpoint(text).size == old.size:
            return read_hashes(proof, name)
    raise EvidenceError(
        f"the bundle has no proof from the {old.size} entries signed last; ask for a"
        " newer bundle of the same log, or sign every checkpoint in turn"
    )
