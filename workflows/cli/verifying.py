"""`sandbox evidence verify`: whether a bundle can be relied on.

What is checked is what `python -m sandbox.evidence verify` checks; this adds deriving
the verdicts again, which needs the whole product.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sandbox.evidence.__main__ import main as verify_evidence
from sandbox.findings.rederive import rederive_bundle


class StepsFormat(StrEnum):
    """How the steps of a check are written."""

    text = "text"
    json = "json"


def verify(  # noqa: PLR0913 - one parameter per option of the command
    bundle: Annotated[Path, typer.Argument(help="A bundle's directory.")],
    key: Annotated[
        Path | None, typer.Option(help="Public key you trust; else the bundle's own.")
    ] = None,
    witness: Annotated[
        list[str] | None,
        typer.Option(help="Key line of a witness you trust; may be repeated."),
    ] = None,
    require_witness: Annotated[
        int, typer.Option(help="So many of them must have seen every entry.")
    ] = 0,
    tsa: Annotated[
        list[Path] | None,
        typer.Option(help="PEM file of a time-stamping authority; may be repeated."),
    ] = None,
    require_timestamp: Annotated[
        bool,
        typer.Option("--require-timestamp", help="One must have stamped every entry."),
    ] = False,
    rederive: Annotated[
        bool, typer.Option("--rederive", help="Also derive all verdicts again.")
    ] = False,
    output: Annotated[
        StepsFormat, typer.Option("--output", "-o", help="How to write the steps.")
    ] = StepsFormat.text,
) -> None:
    """Verify a bundle offline, step by step.

    Exit 1 if it does not verify or other verdicts follow from it, 2 if it verifies but
    what the verdicts rest on was erased.
    """
    arguments = ["verify", str(bundle), "--require-witness", str(require_witness)]
    arguments += ["--key", str(key)] if key else []
    for line in witness or ():
        arguments += ["--witness", line]
    for file in tsa or ():
        arguments += ["--tsa", str(file)]
    arguments += ["--require-timestamp"] if require_timestamp else []
    arguments += ["--json"] if output is StepsFormat.json else []
    further = rederive_bundle if rederive else None
    raise typer.Exit(verify_evidence(arguments, further=further))
