"""`sandbox evidence subject-key` and `unseal`: personal data that can be forgotten.

Rules of this module:

* A subject's name in clear goes no further than this command: files, log and output
  have the pseudonym. `-` reads the name from standard input, so that it stays out of
  the shell's history.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from sandbox.adapters.durable import replace_secret
from sandbox.adapters.subject_keys import FileSubjectKeys
from sandbox.errors import EvidenceError
from sandbox.evidence.hold import Order
from sandbox.evidence.subject import (
    DataSubject,
    destroy_key,
    new_key,
    sealed_values,
    sealing_keys,
    subject_of,
)
from sandbox.model.party import Actor
from sandbox.settings import Settings
from workflows.cli.output import Format, Output, emit, say
from workflows.cli.retention import By, For, Reason, Trial
from workflows.cli.setup import Home, read_settings
from workflows.worker import open_ledger

app = typer.Typer(no_args_is_help=True, help="Keys of data subjects.")

SubjectName = Annotated[
    str, typer.Argument(help="The subject's name; - reads it from standard input.")
]


@app.command("new")
def new(trial: Trial, subject: SubjectName, home: Home = None) -> None:
    """Make the key of a subject and print the pseudonym; export the keys afterwards."""
    settings = read_settings(home)
    ledger, _ = open_ledger(settings)
    keys = keys_of(settings)
    key = new_key(ledger.log, keys, _subject(keys, trial, subject))
    typer.echo(key.subject)


@app.command("list")
def show_all(trial: Trial, home: Home = None, output: Output = Format.table) -> None:
    """List the pseudonyms and public keys of a trial's subjects."""
    rows = [
        {"subject": key.subject, "public_key": key.public_key.hex()}
        for key in keys_of(read_settings(home)).list(trial)
    ]
    emit(rows, output, name="subject")


@app.command("export")
def export(
    trial: Trial,
    file: Annotated[Path, typer.Argument(help="File to write.", dir_okay=False)],
    home: Home = None,
) -> None:
    """Write what the trial's producers need to seal; no private key is in it."""
    found = sealing_keys(keys_of(read_settings(home)), trial)
    try:
        replace_secret(file, (json.dumps(found, indent=2) + "\n").encode())
    except OSError as error:
        raise EvidenceError(f"{file} cannot be written: {error.strerror}") from error
    say(f"wrote {len(found['keys'])} public keys of trial {trial} to {file}")


@app.command("destroy")
def destroy(  # noqa: PLR0913 - one parameter per option of the command
    trial: Trial,
    subject: SubjectName,
    reason: Reason,
    by: By,
    represents: For = "",
    home: Home = None,
) -> None:
    """Erase a subject: record it, then destroy the key. It cannot be undone."""
    settings = read_settings(home)
    ledger, _ = open_ledger(settings)
    keys = keys_of(settings)
    who = Actor(name=by, role="platform-operator", represents=represents)
    order = Order(who, reason, ledger.clock.now())
    entry = destroy_key(ledger.log, keys, _subject(keys, trial, subject), order)
    say(f"the key of {entry.entry.body['subject']} is destroyed: entry {entry.index}")


def unseal(
    trial: Trial,
    subject: SubjectName,
    home: Home = None,
    output: Output = Format.table,
) -> None:
    """Show the values of a subject in the recorded spans, as long as its key exists."""
    settings = read_settings(home)
    ledger, _ = open_ledger(settings)
    keys = keys_of(settings)
    frames = (frame for _, found in ledger.frames(trial) for frame in found)
    values = sealed_values(ledger.log, keys, _subject(keys, trial, subject), frames)
    emit([value._asdict() for value in values], output, name="value")


def keys_of(settings: Settings) -> FileSubjectKeys:
    """Return the keys of data subjects of an installation."""
    return FileSubjectKeys(settings.home / "keys" / "subjects")


def _subject(keys: FileSubjectKeys, trial: str, name: str) -> DataSubject:
    clear = sys.stdin.readline().strip() if name == "-" else name
    return subject_of(keys, trial, clear)
