"""`sandbox evidence`: the log, bundles, and whether they verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sandbox.evidence.__main__ import main as verify_evidence
from sandbox.evidence.log_check import check_log
from sandbox.evidence.steps import in_words
from sandbox.findings.rederive import rederive_bundle
from workflows.activities.keeping import Bundles
from workflows.cli.archive import pull, push
from workflows.cli.output import Format, Output, emit
from workflows.cli.proving import disclose, disclosed, tiles
from workflows.cli.setup import Home, read_settings
from workflows.cli.witness import cosigned, witness, witness_key
from workflows.worker import open_ledger

app = typer.Typer(no_args_is_help=True)


@app.command("verify")
def verify(
    bundle: Annotated[Path, typer.Argument(help="A bundle's directory.")],
    key: Annotated[
        Path | None, typer.Option(help="Public key you trust; else the bundle's own.")
    ] = None,
    rederive: Annotated[
        bool, typer.Option("--rederive", help="Also derive all verdicts again.")
    ] = False,
    output: Output = Format.table,
) -> None:
    """Verify a bundle offline, step by step; exit 1 if it does not verify."""
    arguments = ["verify", str(bundle)]
    arguments += ["--key", str(key)] if key else []
    arguments += ["--json"] if output is Format.json else []
    further = rederive_bundle if rederive else None
    raise typer.Exit(verify_evidence(arguments, further=further))


@app.command("log")
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


@app.command("key")
def show_key(home: Home = None) -> None:
    """Print the public key of the log, to be handed over on another way."""
    ledger, _ = open_ledger(read_settings(home))
    typer.echo(ledger.signer.public_key.hex())


@app.command("bundle")
def bundle(
    trial: Annotated[str, typer.Argument(help="Name of the trial.")],
    home: Home = None,
) -> None:
    """Write the bundle of a trial anew and print its path."""
    settings = read_settings(home)
    ledger, _ = open_ledger(settings)
    typer.echo(Bundles(settings.home / "bundles").write(ledger, trial))


app.command("witness")(witness)
app.command("witness-key")(witness_key)
app.command("cosigned")(cosigned)
app.command("disclose")(disclose)
app.command("disclosed")(disclosed)
app.command("tiles")(tiles)
app.command("push")(push)
app.command("pull")(pull)
