"""`sandbox evidence key`, `keys` and `rotate-key`: the key the log is signed with."""

from __future__ import annotations

from typing import Annotated

import typer

from sandbox.adapters.clock import SystemClock
from sandbox.adapters.database import open_database
from sandbox.adapters.log import SqlLog
from sandbox.adapters.log_key import rotate_log_key
from sandbox.adapters.segments import LocalSegments
from sandbox.evidence.log import key_history
from sandbox.evidence.vkey import NoteKey
from workflows.cli.output import Format, Output, emit, say
from workflows.cli.setup import Home, read_settings
from workflows.worker import log_key_file, open_ledger


def show_key(home: Home = None) -> None:
    """Print the public key of the log, to be handed over on another way."""
    ledger, _ = open_ledger(read_settings(home))
    typer.echo(ledger.signer.public_key.hex())


def list_keys(home: Home = None, output: Output = Format.table) -> None:
    """List every key the log had, and from which entry each is in force."""
    ledger, _ = open_ledger(read_settings(home))
    history = key_history(ledger.log, ledger.signer)
    rows = [
        {
            "number": number,
            "since": key.since,
            "public_key": key.public_key.hex(),
            "vkey": NoteKey(history.name, key.public_key).vkey(),
        }
        for number, key in enumerate(history.keys, start=1)
    ]
    emit(rows, output, name="public_key")


def rotate_key(
    destroy_old: Annotated[
        bool,
        typer.Option("--destroy-old", help="Remove the old private key; else kept."),
    ] = False,
    home: Home = None,
) -> None:
    """Put a new key in force, by an entry that the old one signs; print the new one."""
    settings = read_settings(home)
    log = SqlLog(open_database(settings))
    done = rotate_log_key(
        log_key_file(settings),
        log=log,
        segments=LocalSegments.of(settings),
        at=SystemClock().now(),
        destroy=destroy_old,
    )
    kept = f"kept as {done.kept}" if done.kept else "destroyed"
    say(f"the new key is in force since entry {done.since}; the old one is {kept}")
    typer.echo(done.public_key.hex())
