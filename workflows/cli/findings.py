"""`sandbox findings`: what all trials of a question show together."""

from __future__ import annotations

import math
from typing import Annotated, Any

import typer

from sandbox.findings.registry import Registration, Weighed, registered, weigh
from workflows.cli.output import Format, Output, emit, print_table, say
from workflows.cli.setup import Home, read_settings
from workflows.worker import open_ledger

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _nouns() -> None:
    """What the log's findings say together."""


@app.command("combine")
def combine(
    rulebook: Annotated[str, typer.Argument(help="Name of a rulebook.")],
    rule: Annotated[str, typer.Argument(help="One of its rules; all if none.")] = "",
    alpha: Annotated[
        float, typer.Option(help="Error chance over all questions shown.")
    ] = 0.05,
    home: Home = None,
    output: Output = Format.table,
) -> None:
    """Multiply the e-values of all registered trials, question by question."""
    ledger, _ = open_ledger(read_settings(home))
    every = registered(item.entry for item in ledger.log.entries())
    asked = {
        question: trials
        for question, trials in every.items()
        if question.rulebook == rulebook and rule in ("", question.rule)
    }
    found = weigh(asked, alpha=alpha)
    if output is Format.table:
        _print(found, alpha)
    else:
        emit([_row(item) for item in found], output, name="question")


def _print(found: tuple[Weighed, ...], alpha: float) -> None:
    rows = [
        (
            number,
            item.question.sentence(),
            f"{sum(not trial.why for trial in item.trials)} of {len(item.trials)}",
            _evalue(item.log_evalue),
            "yes" if item.holm else "no",
            "yes" if item.bh else "no",
        )
        for number, item in enumerate(found, start=1)
    ]
    shown = f"at {alpha:g}"
    print_table(
        ("", "claim", "trials", "e-value", f"e-Holm {shown}", f"e-BH {shown}"), rows
    )
    say("")
    print_table(
        ("", "trial", "goal", "verdict", "e-value", "no evidence because"),
        [
            (number, *_trial_cells(trial))
            for number, item in enumerate(found, start=1)
            for trial in item.trials
        ],
    )
    if any(trial.is_open for item in found for trial in item.trials):
        say(
            "Nothing is shown of a claim while a trial that began gives no evidence:"
            " that may be owed to what it saw."
        )


def _trial_cells(trial: Registration) -> tuple[str, ...]:
    value = "1" if trial.log_evalue is None else _evalue(trial.log_evalue)
    return trial.trial_id, trial.goal, trial.verdict, value, trial.why


def _evalue(log_evalue: float) -> str:
    """Write an e-value: plainly where that can be read, else as a power of ten."""
    if abs(log_evalue) < math.log(1e4):
        return f"{math.exp(log_evalue):.4g}"
    return f"10^{log_evalue / math.log(10):.1f}"


def _row(item: Weighed) -> dict[str, Any]:
    return {
        "question": item.question.sentence(),
        **item.question._asdict(),
        "log_evalue": item.log_evalue,
        "e_holm": item.holm,
        "e_bh": item.bh,
        "trials": [trial._asdict() for trial in item.trials],
    }
