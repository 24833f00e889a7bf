"""`sandbox revision`: proposals, their figures, what they mean for running trials."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from sandbox.adapters.backtest_chdb import ChdbCounting
from sandbox.adapters.backtest_duckdb import DuckCounting
from sandbox.errors import ProcedureError
from sandbox.model.impact import Reproduction, TrialPreview
from sandbox.model.proposal import Publication
from sandbox.model.record import canonical_json
from sandbox.report import render_proposal
from sandbox.revision import (
    apply_amendments,
    preview,
    publication_markdown,
    shift_words,
)
from sandbox.settings import Settings
from workflows.activities.asking import Asking, running_trials
from workflows.activities.keeping import Ledger
from workflows.activities.reproducing import (
    amended_version,
    consultation_of,
    find_proposal,
    proposals,
    reproduce,
)
from workflows.cli.engines import Engine, RuleEngineOption
from workflows.cli.output import Format, Output, emit, say, visible
from workflows.cli.setup import Home, read_settings
from workflows.worker import asking_with, open_ledger

app = typer.Typer(no_args_is_help=True)

ProposalArgument = Annotated[
    str, typer.Argument(help="RULEBOOK/P-N; P-N where only one rulebook has it.")
]


class Page(StrEnum):
    """How a proposal is published."""

    md = "md"
    html = "html"
    json = "json"


@app.command("list")
def show_all(home: Home = None, output: Output = Format.table) -> None:
    """List every proposal of this installation."""
    ledger, _ = open_ledger(read_settings(home))
    rows = [
        {
            "proposal": item.name,
            "amends": f"v{item.proposal.amends.version}",
            "amendments": len(item.proposal.amendments),
            "figures": len(item.impact.figures) if item.impact else 0,
            "state": item.state,
        }
        for item in proposals(ledger)
    ]
    emit(rows, output, name="proposal")


@app.command("show")
def show(
    proposal: ProposalArgument,
    page: Annotated[Page, typer.Option("--format", help="How to write it.")] = Page.md,
    home: Home = None,
) -> None:
    """Print a proposal as it is published, and what became of it."""
    ledger, _ = open_ledger(read_settings(home))
    found = find_proposal(ledger, proposal)
    published = Publication(
        proposal=found.proposal,
        impact=found.impact,
        consultation=consultation_of(ledger, found),
        adoption=found.adoption,
        retention=found.retention,
    )
    if page is Page.json:
        typer.echo(canonical_json(published).decode())
    elif page is Page.html:
        typer.echo(render_proposal(published))
    else:
        lines = publication_markdown(published).splitlines()
        typer.echo("\n".join(visible(line) for line in lines))


@app.command("rerun")
def rerun(
    proposal: ProposalArgument,
    engine: RuleEngineOption = Engine.duckdb,
    fresh: Annotated[
        bool, typer.Option(help="Derive again from the sealed segments, and ask that.")
    ] = False,
    home: Home = None,
    output: Output = Format.table,
) -> None:
    """Compute every figure of a proposal again; fail where one is not the same."""
    settings = read_settings(home)
    ledger, _ = open_ledger(settings)
    record = find_proposal(ledger, proposal)
    found = [
        item
        for asking in _asking(settings, ledger, engine, fresh=fresh)
        for item in reproduce(ledger, record, asking)
    ]
    emit([_row(item) for item in found], output, name="figure")
    differs = [item for item in found if not item.same]
    say(f"{len(found) - len(differs)} of {len(found)} figures are the same")
    if differs:
        raise typer.Exit(1)


@app.command("preview")
def show_preview(
    proposal: ProposalArgument,
    engine: RuleEngineOption = Engine.duckdb,
    home: Home = None,
    output: Output = Format.table,
) -> None:
    """Say for each running trial whether it would comply under the proposed version."""
    settings = read_settings(home)
    ledger, _ = open_ledger(settings)
    record = find_proposal(ledger, proposal)
    if not record.proposal.amendments:
        raise ProcedureError(f"{record.name} proposes no change; nothing is previewed.")
    proposed = apply_amendments(
        amended_version(ledger, record.proposal), record.proposal.amendments
    )
    found = [
        preview(trial, proposed, comparisons=asking.comparisons)
        for asking in _asking(settings, ledger, engine)
        for trial in running_trials(ledger, record.rulebook)
    ]
    if output is Format.json:
        typer.echo(canonical_json([x.model_dump(mode="json") for x in found]).decode())
    else:
        emit([_foreseen(item) for item in found], output, name="trial")
    if not found:
        say("no trial of this rulebook is running")


def _asking(
    settings: Settings, ledger: Ledger, engine: Engine, *, fresh: bool = False
) -> Iterator[Asking]:
    """Yield what asks the evidence, one engine after the other."""
    memory, threads = settings.query_memory_mib, settings.query_threads
    with TemporaryDirectory(prefix="sandbox-derived-") as made:
        root = Path(made) if fresh else settings.derived_dir
        if engine in (Engine.duckdb, Engine.both):
            duckdb = DuckCounting(memory_mib=memory, threads=threads)
            yield asking_with(duckdb, root, ledger)
        if engine in (Engine.chdb, Engine.both):
            chdb = ChdbCounting(memory_mib=memory, threads=threads)
            try:
                yield asking_with(chdb, root, ledger)
            finally:
                chdb.close()


def _row(item: Reproduction) -> dict[str, Any]:
    return {
        "figure": item.figure,
        "same": "yes" if item.same else "NO",
        "was": item.was,
        "now": "" if item.now == item.was else item.now,
        "said": " ".join(item.said),
    }


def _foreseen(item: TrialPreview) -> dict[str, Any]:
    return {
        "trial": item.trial_id,
        "under": f"v{item.under.version}",
        "would_comply": "yes" if item.would_comply else "no",
        "units": _units(item),
        "why": " ".join((*item.unfit, *item.touched)),
    }


def _units(item: TrialPreview) -> str:
    said: Sequence[str] = [f"{x.rule}: {shift_words(x)}" for x in item.figures]
    return " | ".join(said)
