"""`sandbox evidence search`, `trace` and `sql`: looking into the recorded spans.

Rules of this module:

* Every answer says what it was drawn from: in JSON and YAML the digests of the segments
  that were searched, and on standard error how many are not sealed yet.
* What others wrote cannot steer the terminal, in tables, drawings, names, and csv that
  goes there. Csv in a file or a pipe, JSON and YAML hold it as it is.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sandbox.errors import InputError
from sandbox.model.application import Defect
from sandbox.model.trace import is_trace_id
from sandbox.query.waterfall import waterfall
from workflows.activities.keeping import Ledger
from workflows.cli.answers import (
    SqlFormat,
    emit_found,
    emit_sql,
    say_searched,
    write_page,
)
from workflows.cli.asking import Asked, read_question
from workflows.cli.drawing import draw
from workflows.cli.engines import Engine, EngineOption, open_spans
from workflows.cli.output import Format, Output, emit, emit_one, say
from workflows.cli.setup import Home, read_settings
from workflows.worker import open_ledger

Trial = Annotated[str, typer.Argument(help="Name of the trial.")]
Service = Annotated[str, typer.Option(help="Its service.")]
Operation = Annotated[str, typer.Option(help="Its name.")]
AtLeast = Annotated[str, typer.Option(help="At least so long: 250ms, 1.5s, PT2M.")]
AtMost = Annotated[str, typer.Option(help="At most so long.")]
Attributes = Annotated[
    list[str] | None,
    typer.Option(
        help="KEY=VALUE, of the span or its resource; may be repeated. VALUE is read "
        'as JSON: 200 is a number, "200" text, GET text too. KEY alone asks that it '
        "is there."
    ),
]
OfRule = Annotated[str, typer.Option(help="This rule speaks of it.")]
Result = Annotated[str, typer.Option(help="satisfied, violated or not-evaluable.")]
Since = Annotated[str, typer.Option(help="Began then or later: 2026-01-31T09:00:00Z.")]
Until = Annotated[str, typer.Option(help="Began before then.")]
Limit = Annotated[int, typer.Option(help="At most so many, from 1 to 10000.")]


def search(  # noqa: PLR0913 - one parameter per option of the command
    trial: Trial,
    service: Service = "",
    operation: Operation = "",
    min_duration: AtLeast = "",
    max_duration: AtMost = "",
    attribute: Attributes = None,
    rule: OfRule = "",
    result: Result = "",
    since: Since = "",
    until: Until = "",
    limit: Limit = 20,
    engine: EngineOption = Engine.duckdb,
    home: Home = None,
    output: Output = Format.table,
) -> None:
    """Find spans; everything that is asked must hold."""
    asked = Asked(
        service=service,
        operation=operation,
        min_duration=min_duration,
        max_duration=max_duration,
        attributes=tuple(attribute or ()),
        rule=rule,
        result=result,
        since=since,
        until=until,
        limit=limit,
    )
    question = read_question(asked)
    settings = read_settings(home)
    ledger, _ = open_ledger(settings)
    if rule:
        _check_rule(ledger, trial, rule)
    answer = open_spans(settings, ledger, engine).search(trial, question)
    emit_found(answer, output)
    say_searched(answer)


def trace(  # noqa: PLR0913 - one parameter per option of the command
    trial: Trial,
    trace_id: Annotated[str, typer.Argument(help="32 hexadecimal digits.")],
    html: Annotated[
        Path | None, typer.Option(help="Write a page to this file as well.")
    ] = None,
    engine: EngineOption = Engine.duckdb,
    home: Home = None,
    output: Output = Format.table,
) -> None:
    """Show one trace as a waterfall, with what the rules say of each span."""
    settings = read_settings(home)
    ledger, _ = open_ledger(settings)
    wanted = check_trace_id(trace_id)
    answer = open_spans(settings, ledger, engine).trace(trial, wanted)
    if output in (Format.json, Format.yaml):
        emit_one(answer.model_dump(mode="json"), output, name="trial_id")
    elif output is Format.name:
        spans = dict.fromkeys(item.span.span_id for item in answer.spans)
        emit([{"span": name} for name in spans], output, name="span")
    elif answer.spans:
        console = Console(highlight=False)
        console.print(draw(waterfall(answer.spans), width=console.width))
    if html is not None:
        write_page(html, wanted, answer, ledger)
    say_searched(answer)
    if not answer.spans:
        say(f"no span of trace {wanted} was found")
        raise typer.Exit(1)


def sql(  # noqa: PLR0913 - one parameter per option of the command
    trial: Trial,
    statement: Annotated[
        str, typer.Argument(help="SELECT … FROM spans …; - reads standard input.")
    ],
    limit: Annotated[int, typer.Option(help="At most so many rows.", min=1)] = 1000,
    engine: EngineOption = Engine.duckdb,
    home: Home = None,
    output: Annotated[
        SqlFormat, typer.Option("--output", "-o", help="How to write the rows.")
    ] = SqlFormat.table,
) -> None:
    """Ask one reading SQL statement of the view `spans` of a trial."""
    settings = read_settings(home)
    ledger, _ = open_ledger(settings)
    text = sys.stdin.read() if statement == "-" else statement
    answer = open_spans(settings, ledger, engine).sql(trial, text, limit=limit)
    emit_sql(answer, output)
    say_searched(answer)


def _check_rule(ledger: Ledger, trial: str, rule: str) -> None:
    """Refuse a rule the trial does not have; no span would ever be found.

    Raises:
        InputError: It has none of that name.
    """
    rules = ledger.rules(trial)
    together = [item.rule.rule for item in rules.patterns]
    if rule not in rules.names:
        kind = "about the order of spans" if rule in together else "no rule"
        defect = Defect(
            code="search/rule",
            what=f"is {rule!r}, which is {kind} of trial {trial}",
            remedy=f"Name one of {', '.join(rules.names)}",
            field="--rule",
        )
        raise InputError([defect])


def check_trace_id(text: str) -> str:
    """Return a trace id in the form in which it is recorded.

    Raises:
        InputError: It is none.
    """
    wanted = text.lower()
    if not is_trace_id(wanted):
        defect = Defect(
            code="search/trace-id",
            what=f"{text!r} is no trace id",
            remedy="Give its 32 hexadecimal digits, as `sandbox evidence search` does",
        )
        raise InputError([defect])
    return wanted
