"""`sandbox rule`: rulebooks and what is in force."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sandbox.adapters.clock import SystemClock
from sandbox.rules import read_rulebook, text_in_force
from workflows.activities.keeping import publish_rulebook
from workflows.cli.output import Format, Output, emit, say
from workflows.cli.setup import Home, read_settings, read_text
from workflows.worker import open_ledger

app = typer.Typer(no_args_is_help=True)


@app.command("check")
def check(file: Annotated[Path, typer.Argument(help="A rulebook as YAML.")]) -> None:
    """Check a rulebook; say every problem with its place."""
    rulebook = read_rulebook(read_text(file), file=str(file))
    say(f"{file}: {rulebook.rulebook} version {rulebook.version} is in order")


@app.command("publish")
def publish(
    file: Annotated[Path, typer.Argument(help="A rulebook as YAML.")],
    home: Home = None,
) -> None:
    """Publish a version of a rulebook in this installation."""
    rulebook = read_rulebook(read_text(file), file=str(file))
    ledger, _ = open_ledger(read_settings(home))
    ref = publish_rulebook(ledger, rulebook)
    say(f"published {ref.rulebook} version {ref.version}, {ref.digest}")


@app.command("list")
def show_all(home: Home = None, output: Output = Format.table) -> None:
    """List the published versions of every rulebook."""
    ledger, _ = open_ledger(read_settings(home))
    entries = [
        item
        for item in ledger.log.entries()
        if item.entry.kind == "rule-version" and "rules" in item.entry.body
    ]
    rows = [
        {
            "rulebook": f"{item.entry.body['rulebook']}@{item.entry.body['version']}",
            "published_at": item.entry.recorded_at.isoformat(),
            "entry": item.index,
        }
        for item in entries
    ]
    emit(rows, output, name="rulebook")


@app.command("show")
def show(
    rulebook: Annotated[str, typer.Argument(help="NAME or NAME@VERSION.")],
    home: Home = None,
    output: Output = Format.table,
) -> None:
    """Show the provisions of one version as they read today."""
    name, _, version = rulebook.partition("@")
    ledger, _tokens = open_ledger(read_settings(home))
    found = ledger.records.rulebook(name, int(version) if version else None)
    today = SystemClock().now().date()
    rows = [
        {
            "rule": item.rule,
            "text": text_in_force(item, today),
            "waivable": item.waivable,
            "source": f"{item.source.instrument}, {item.source.provision}",
        }
        for item in found.rules
    ]
    emit(rows, output, name="rule")
