"""The `sandbox` command: one file per noun.

Results go to standard output, everything else to standard error. Exit codes: 0 done,
1 not done (the reason is said), 2 bad input (every problem is said).
"""

from __future__ import annotations

import os
import sys

import typer

from sandbox.errors import InputError, SandboxError
from workflows.cli import (
    doctor,
    evidence,
    experiment,
    local,
    recorder,
    rule,
    trial,
    worker,
)
from workflows.cli.output import say

app = typer.Typer(
    name="sandbox",
    help="Regulatory sandboxes that run: trials under temporary rules, proven "
    "isolation, evidence that verifies, and rules that are revised.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for noun in (local, experiment, trial, rule, evidence, worker, recorder):
    app.add_typer(noun.app)
app.command("doctor", help=doctor.HELP)(doctor.run)

__all__ = ["app", "main"]


def main() -> None:
    """Run the command and leave with its exit code."""
    code = _run()
    sys.stdout.flush()
    sys.stderr.flush()
    # Temporal's runtime may abort an orderly interpreter shutdown after success; all
    # output is flushed and nothing else is left to do.
    os._exit(code)


def _run() -> int:
    try:
        app()
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else int(left.code is not None)
    except InputError as error:
        say(error.diagnosis)
        return 2
    except SandboxError as error:
        say(error.diagnosis)
        return 1
    return 0
