"""`sandbox doctor`: what this machine can do, and what it lacks."""

from __future__ import annotations

import typer

from sandbox.local.doctor import checks
from workflows.cli.output import Format, Output, emit
from workflows.cli.setup import Home, read_settings

app = typer.Typer()


@app.callback(invoke_without_command=True)
def run(home: Home = None, output: Output = Format.table) -> None:
    """Print every check with its stable id; exit 1 if one that is needed fails."""
    found = checks(read_settings(home))
    emit([item.model_dump(mode="json") for item in found], output, name="id")
    if any(item.ok is False for item in found):
        raise typer.Exit(1)
