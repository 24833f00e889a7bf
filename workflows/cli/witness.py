"""`sandbox evidence witness`: the regulator's own signature under the log.

It runs on a machine of the witness, needs no server, and keeps one key and the last
note it signed in a folder of its own. What it signs may be handed back to the operator,
whose `sandbox evidence cosignature add` puts it into every later bundle.
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
from sandbox.evidence.attest import read_canonical
from sandbox.evidence.cosignatures import open_cosignatures
from sandbox.evidence.keys import KeyHistory, read_history
from sandbox.evidence.layout import fields, read_hashes, read_lines
from sandbox.evidence.log import keep_cosigned
from sandbox.evidence.note import NoteCheckpoint, read_checkpoint, split_note
from sandbox.evidence.verify import verify_bundle
from sandbox.evidence.vkey import COSIGNATURE, NoteKey, check_public_key
from sandbox.evidence.witness import Growth, check_growth, cosign
from workflows.cli.output import Format, Output, emit, say
from workflows.cli.setup import Home, read_settings
from workflows.worker import open_ledger

_LAST = "last.note"
State = Annotated[Path, typer.Option(help="Folder of the witness: key and last note.")]
Name = Annotated[str, typer.Option(help="Name of the witness, without space and +.")]

cosignature = typer.Typer(
    no_args_is_help=True, help="Checkpoints that came back from witnesses."
)


def witness(
    bundle: Annotated[Path, typer.Argument(help="A bundle's directory.")],
    key: Annotated[Path, typer.Option(help="Public key of the log, which you trust.")],
    state: State,
    name: Name = "witness",
    first: Annotated[
        bool,
        typer.Option("--first", help="You never signed this log: nothing to compare."),
    ] = False,
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
    history = _history(bundle)
    new = history.open(note)
    last = state / _LAST
    with (state / "lock").open("w") as lock:
        # Between the check and the save nobody else may sign (C2SP tlog-witness).
        fcntl.flock(lock, fcntl.LOCK_EX)
        _check_first(last, first)
        if last.exists():
            old = history.open(last.read_bytes())
            check_growth(Growth(old, new, _proof(bundle, old, new)))
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


@cosignature.command("add")
def add_cosignature(
    note: Annotated[
        Path, typer.Argument(help="A cosigned note.", exists=True, dir_okay=False)
    ],
    witnesses: Annotated[
        list[str] | None,
        typer.Option("--witness", help="Key line of a witness who must have signed."),
    ] = None,
    home: Home = None,
) -> None:
    """Keep a checkpoint that a witness cosigned; later bundles carry it."""
    ledger, _ = open_ledger(read_settings(home))
    kept, found = keep_cosigned(
        ledger.log, ledger.signer, note.read_bytes(), witnesses=witnesses or ()
    )
    who = ", ".join(item.witness for item in found) or "not checked: no --witness given"
    say(f"kept the checkpoint of {kept.size} entries, cosigned by {who}")


def _check_first(last: Path, first: bool) -> None:
    if not last.exists() and not first:
        raise EvidenceError(
            f"there is no {last}, so nothing earlier can be compared: restore that note"
            " if you signed this log before; only if you never did, say --first"
        )
    if last.exists() and first:
        raise EvidenceError(
            f"{last} is there, so this is not the first time; leave out --first"
        )


def _history(bundle: Path) -> KeyHistory:
    """Return the log's keys from a bundle that has been verified."""
    name = "keys.json"
    data = read_canonical((bundle / name).read_bytes(), what=name)
    history, _ = read_history(data, what=name)
    return history


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
