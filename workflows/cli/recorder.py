"""`sandbox recorder`: the process that makes telemetry durable."""

from __future__ import annotations

import typer

from sandbox.adapters.clock import SystemClock
from sandbox.adapters.database import open_database
from sandbox.adapters.otlp import run as serve
from sandbox.adapters.tokens import SqlTokens
from workflows.cli.setup import Home, log_to_stderr, read_settings

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _noun() -> None:
    """Keep `run` a verb of its own; one command alone would become the noun."""


@app.command("run")
def run(home: Home = None) -> None:
    """Receive OTLP over gRPC and HTTP until stopped."""
    settings = read_settings(home)
    log_to_stderr(settings)
    tokens = SqlTokens(open_database(settings))
    serve(settings, tokens, SystemClock())
