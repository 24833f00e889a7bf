"""`sandbox evidence`: the log, what was recorded, bundles, and whether they verify."""

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
from workflows.cli.exchange import export, import_
from workflows.cli.keys import list_keys, rotate_key, show_key
from workflows.cli.output import Format, Output, emit
from workflows.cli.proving import disclose, disclosed, tiles, timestamp
from workflows.cli.questions import search, sql, trace
from workflows.cli.retention import expire_segments, hold, release, retention
from workflows.cli.setup import Home, read_settings
from workflows.cli.subjects import app as subject_keys
from workflows.cli.subjects import unseal
from workflows.cli.witness import add_cosignature, cosigned, witness, witness_key
from workflows.worker import open_ledger

app = typer.Typer(no_args_is_help=True)
cosignature = typer.Typer(
    no_args_is_help=True, help="Checkpoints that came back from witnesses."
)


@app.command(
    "verify",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def verify(
    context: typer.Context,
    bundle: Annotated[Path, typer.Argument(help="A bundle's directory.")],
    key: Annotated[
        Path | None, typer.Option(help="Public key you trust; else the bundle's own.")
    ] = None,
    rederive: Annotated[
        bool, typer.Option("--rederive", help="Also derive all verdicts again.")
    ] = False,
    output: Output = Format.table,
) -> None:
    """Verify a bundle offline, step by step; exit 1 if it does not verify.

    Takes every option of `python -m sandbox.evidence verify` besides: --witness VKEY,
    --require-witness N, --tsa FILE.
    """
    arguments = ["verify", str(bundle), *context.args]
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


@app.command("bundle")
def bundle(
    trial: Annotated[str, typer.Argument(help="Name of the trial.")],
    home: Home = None,
) -> None:
    """Write the bundle of a trial anew and print its path."""
    settings = read_settings(home)
    ledger, _ = open_ledger(settings)
    typer.echo(Bundles(settings.home / "bundles").write(ledger, trial))


app.command("search")(search)
app.command("trace")(trace)
app.command("sql")(sql)
app.command("export")(export)
app.command("import")(import_)
app.command("key")(show_key)
app.command("keys")(list_keys)
app.command("rotate-key")(rotate_key)
app.command("witness")(witness)
app.command("witness-key")(witness_key)
app.command("cosigned")(cosigned)
cosignature.command("add")(add_cosignature)
app.add_typer(cosignature, name="cosignature")
app.command("disclose")(disclose)
app.command("disclosed")(disclosed)
app.command("tiles")(tiles)
app.command("retention")(retention)
app.command("expire")(expire_segments)
app.command("hold")(hold)
app.command("release")(release)
app.command("timestamp")(timestamp)
app.command("unseal")(unseal)
app.add_typer(subject_keys, name="subject-key", help="Keys of data subjects.")
app.command("push")(push)
app.command("pull")(pull)
