"""The `sandbox` command: one file per noun.

Results go to standard output, everything else to standard error. Exit codes: 0 done,
1 not done (the reason is said), 2 bad input (every problem is said).

Only the noun that was asked for is loaded: a recorder needs no Kubernetes client, and
`--help` needs nothing at all.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

import typer

from sandbox.errors import InputError, SandboxError
from workflows.cli import evidence
from workflows.cli.output import say

NOUNS = {
    "local": "Temporal and one Kubernetes node on this machine.",
    "experiment": "Whole trials, run end to end.",
    "application": "Applications, tried before they are filed.",
    "trial": "Cases and their state.",
    "rule": "Rulebooks and what is in force.",
    "findings": "What all trials of a question show together.",
    "revision": "Proposals, their figures, and what they mean for running trials.",
    "evidence": "What was recorded, and its proof.",
    "platform": "What a Kubernetes cluster needs once: install, compare, remove.",
    "worker": "Runs workflows and activities.",
    "recorder": "Receives OTLP and makes it durable.",
    "doctor": "What this machine can do, and what it lacks.",
}
"""Noun → its help; the module of the same name holds its verbs as `app`, that of
`evidence`, which has many, as `application`."""

__all__ = ["NOUNS", "command_for", "main"]


def command_for(asked: Sequence[str]) -> typer.Typer:
    """Return the command with what is asked for; everything else is only named.

    Args:
        asked: The words of the command line.
    """
    app = typer.Typer(
        name="sandbox",
        help="Regulatory sandboxes that run: trials under temporary rules, proven "
        "isolation, evidence that verifies, and rules that are revised.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for name, help_text in NOUNS.items():
        noun = _noun(name, asked[1:]) if name in asked[:1] else typer.Typer()
        app.add_typer(noun, name=name, help=help_text)
    return app


def _noun(name: str, asked: Sequence[str]) -> typer.Typer:
    if name == "evidence":
        return evidence.application(asked)
    noun = import_module(f"workflows.cli.{name}").app
    assert isinstance(noun, typer.Typer)
    return noun


def main() -> None:
    """Run the command and leave with its exit code."""
    code = _run(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Temporal's runtime may abort an orderly interpreter shutdown after success; all
    # output is flushed and nothing else is left to do.
    os._exit(code)


def _run(arguments: Sequence[str]) -> int:
    try:
        command_for(arguments)(arguments)
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else int(left.code is not None)
    except InputError as error:
        say(error.diagnosis)
        return 2
    except SandboxError as error:
        say(error.diagnosis)
        return 1
    return 0
