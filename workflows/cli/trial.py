"""`sandbox trial`: cases, and what an applicant can check beforehand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import yaml

from sandbox.environment import environment_objects, system_objects
from sandbox.findings import check_plan
from sandbox.local import describe
from sandbox.model.application import Application, Defect
from sandbox.model.document import read_document
from sandbox.model.regime import Regime
from sandbox.model.rule import Rulebook
from sandbox.model.trial import EnvironmentSpec
from sandbox.procedure import read_application
from sandbox.rules import check_conditions_asked, read_rulebook
from workflows.cli.feasibility import show_feasibility
from workflows.cli.output import Format, Output, emit, emit_one, say
from workflows.cli.setup import Home, Temporal, read_settings, read_text, run_async
from workflows.cli.telling import write_report
from workflows.client import TrialClient, connect
from workflows.messages import SystemManifests, TrialStatus
from workflows.worker import open_ledger

app = typer.Typer(no_args_is_help=True)
app.command("feasibility")(show_feasibility)

TrialArgument = Annotated[str, typer.Argument(help="Name of the trial.")]


@app.command("list")
def show_all(home: Home = None, output: Output = Format.table) -> None:
    """List every case of this installation."""
    ledger, _ = open_ledger(read_settings(home))
    rows = [
        {
            "trial": case["trial_id"],
            "state": case["state"],
            "updated_at": str(case["updated_at"]),
        }
        for case in ledger.records.cases()
    ]
    emit(rows, output, name="trial")


@app.command("get")
def show(
    trial: TrialArgument,
    home: Home = None,
    temporal: Temporal = "",
    output: Output = Format.table,
) -> None:
    """Show where one case stands, as its workflow says."""
    settings = read_settings(home, temporal=temporal)
    servers = describe(settings)
    address = settings.temporal or (servers.temporal_address if servers else "")

    async def ask() -> TrialStatus:
        client = await connect(address, namespace=settings.temporal_namespace)
        return await TrialClient(client, trial).status()

    status = run_async(ask())
    emit_one(status.model_dump(mode="json"), output, name="trial_id")


@app.command("check")
def check(
    file: Annotated[Path, typer.Argument(help="An application as YAML.")],
    regime: Annotated[Path, typer.Option(help="The regime as YAML.")],
    rulebook: Annotated[Path, typer.Option(help="The rulebook as YAML.")],
) -> None:
    """Check an application without filing it; say every problem with its place."""
    scheme = read_document(read_text(regime), Regime, file=str(regime))
    rules = read_rulebook(read_text(rulebook), file=str(rulebook))
    application = read_application(
        read_text(file),
        regime=scheme,
        rulebook=rules,
        file=str(file),
        also=_also,
    )
    say(f"{file}: {application.application} is complete")


def _also(filed: Application, rulebook: Rulebook) -> tuple[Defect, ...]:
    """Return what later rooms find wrong: conditions of exceptions, and the plan."""
    return (*check_conditions_asked(filed, rulebook), *check_plan(filed.plan))


@app.command("report")
def report(trial: TrialArgument, home: Home = None) -> None:
    """Write the report of a closed trial anew and print its path."""
    settings = read_settings(home)
    ledger, _ = open_ledger(settings)
    bundle = settings.home / "bundles" / trial
    typer.echo(write_report(ledger, trial, bundle=bundle, timings={}))


@app.command("manifests")
def manifests(trial: TrialArgument, home: Home = None) -> None:
    """Print every object of a trial's environment, without its secrets."""
    ledger, _ = open_ledger(read_settings(home))
    found = ledger.records.get_document(trial, "environment")
    spec = EnvironmentSpec.model_validate(found)
    system = SystemManifests.model_validate(
        ledger.records.get_document(trial, "system")
    )
    objects = environment_objects(spec, recorder_token="not-shown")
    objects += system_objects(spec, system.objects)
    typer.echo(yaml.safe_dump_all(objects, sort_keys=False), nl=False)
