"""`sandbox local`: the servers of this machine."""

from __future__ import annotations

import typer

from sandbox.local import down, status, up
from workflows.cli.output import Format, Output, emit, emit_one, say
from workflows.cli.setup import Home, read_settings

app = typer.Typer(no_args_is_help=True)


def tell(stage: str, text: str) -> None:
    """Say what a server operation is doing."""
    say(f"{stage}: {text}")


@app.command("up")
def start(home: Home = None, output: Output = Format.table) -> None:
    """Start what is not running; build what is missing."""
    servers = up(read_settings(home), progress=tell)
    emit_one(servers.model_dump(mode="json"), output, name="temporal_address")


@app.command("down")
def stop(home: Home = None) -> None:
    """Stop everything that was started from this state directory."""
    for name in down(read_settings(home), progress=tell):
        say(name)


@app.command("status")
def show(home: Home = None, output: Output = Format.table) -> None:
    """List the processes started from this state directory."""
    found = status(read_settings(home))
    emit([item.model_dump(mode="json") for item in found], output, name="name")
