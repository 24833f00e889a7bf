"""`sandbox experiment`: questions asked of the framework, run end to end.

Experiments are found by the entry-point group `sandbox.experiments`, so that this
package does not import the one above it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any, NamedTuple

import typer

from sandbox.errors import InputError
from sandbox.model.application import Defect
from sandbox.settings import Settings
from workflows.cli.output import Format, Output, emit, emit_one
from workflows.cli.progress import Progress
from workflows.cli.setup import Context, Home, Temporal, read_settings, run_async
from workflows.cli.staging import Stage, Wish, set_stage

app = typer.Typer(no_args_is_help=True)

GROUP = "sandbox.experiments"


class Experiment(NamedTuple):
    """A question, and the program that answers it on a running installation."""

    name: str
    title: str
    run: Callable[[Stage], Awaitable[dict[str, Any]]]
    summary: Callable[[dict[str, Any]], str]
    """The result in a few lines, for a person."""


@app.command("list")
def show_all(output: Output = Format.table) -> None:
    """List the experiments that can be run."""
    found = [point.load() for point in _points()]
    rows = [{"name": item.name, "title": item.title} for item in found]
    emit(rows, output, name="name")


@app.command("run")
def run(  # noqa: PLR0913 - one parameter per option of the command
    name: Annotated[str, typer.Argument(help="Name of the experiment.")],
    home: Home = None,
    temporal: Temporal = "",
    context: Context = "",
    seed: Annotated[int, typer.Option(help="Seed of the traffic.")] = 1,
    keep: Annotated[bool, typer.Option(help="Leave the servers up.")] = False,
    output: Output = Format.table,
) -> None:
    """Run an experiment; the result goes to standard output."""
    settings = read_settings(home, temporal=temporal, context=context)
    experiment = _find(name)
    result = run_async(_run(experiment, settings, Wish(seed=seed, keep=keep)))
    if output is Format.json:
        typer.echo(json.dumps(result, indent=2, ensure_ascii=False))
    elif output is Format.table:
        typer.echo(experiment.summary(result))
    else:
        emit_one(result, output, name="report")


async def _run(
    experiment: Experiment, settings: Settings, wish: Wish
) -> dict[str, Any]:
    progress = Progress()
    async with set_stage(settings, wish, progress) as stage:
        result = await experiment.run(stage)
    result["timings"] = progress.timings
    return result


def _points() -> list[EntryPoint]:
    return sorted(entry_points(group=GROUP), key=lambda point: point.name)


def _find(name: str) -> Experiment:
    points = {point.name: point for point in _points()}
    if name not in points:
        known = ", ".join(points) or "none"
        defect = Defect(
            code="experiment/unknown",
            what=f"there is no experiment {name}",
            remedy=f"Run one of: {known}",
        )
        raise InputError([defect])
    found: Experiment = points[name].load()
    return found
