"""`sandbox worker`: the process that runs workflows and activities."""

from __future__ import annotations

from typing import Annotated

import typer

from sandbox.local import describe
from workflows.cli.setup import (
    Context,
    Home,
    Temporal,
    log_to_stderr,
    read_settings,
    run_async,
)
from workflows.worker import serve

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _noun() -> None:
    """Keep `run` a verb of its own; one command alone would become the noun."""


@app.command("run")
def run(
    home: Home = None,
    temporal: Temporal = "",
    context: Context = "",
    warm: Annotated[
        int | None,
        typer.Option(help="Environments kept proven and empty, for trials to claim."),
    ] = None,
) -> None:
    """Serve every queue until stopped."""
    settings = read_settings(home, temporal=temporal, context=context, warm=warm)
    log_to_stderr(settings)
    run_async(serve(settings, describe(settings)))
