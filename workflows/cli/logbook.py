"""`sandbox evidence log` and `bundle`: the log, and one trial's part of it."""

from __future__ import annotations

from typing import Annotated

import typer

from sandbox.evidence.log_check import check_log
from sandbox.evidence.steps import in_words
from workflows.activities.keeping import Bundles
from workflows.cli.output import Format, Output, emit
from workflows.cli.setup import Home, read_settings
from workflows.worker import open_ledger


def show_log(
    trial: Annotated[str, typer.Option(help="Only this trial's entries.")] = "",
    check: Annotated[
        bool, typer.Option("--check", help="Check the whole log instead of listing.")
    ] = False,
    home: Home = None,
    output: Output = Format.table,
) -> None:
    """List the entries of the transparency log, or check all hashes stored of it."""
    ledger, _ = open_ledger(read_settings(home))
    if check:
        steps = check_log(ledger.log)
        typer.echo(in_words(steps, verified="The log is as it was written."))
        raise typer.Exit(0 if all(step.ok for step in steps) else 1)
    rows = [
        {
            "index": item.index,
            "kind": item.entry.kind,
            "entry": item.entry.entry_id,
            "recorded_at": item.entry.recorded_at.isoformat(),
        }
        for item in ledger.log.entries(trial)
    ]
    emit(rows, output, name="entry")


def bundle(
    trial: Annotated[str, typer.Argument(help="Name of the trial.")],
    home: Home = None,
) -> None:
    """Write the bundle of a trial anew and print its path."""
    settings = read_settings(home)
    ledger, _ = open_ledger(settings)
    typer.echo(Bundles(settings.home / "bundles").write(ledger, trial))
