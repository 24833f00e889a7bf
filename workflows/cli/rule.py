"""`sandbox rule`: rulebooks and what is in force."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sandbox.rules import (
    differences,
    read_rulebook,
    read_temporary_rule,
    rules_in_force,
)
from workflows.activities.keeping import publish_rulebook
from workflows.cli.backtest import backtest
from workflows.cli.explaining import explain_span, render, run_all
from workflows.cli.output import Format, Output, emit, say
from workflows.cli.rulebooks import (
    Asked,
    At,
    Overlay,
    Trial,
    Version,
    asked_for,
    find_version,
    instant,
    named,
)
from workflows.cli.setup import Home, read_settings, read_text
from workflows.worker import open_ledger

app = typer.Typer(no_args_is_help=True)
app.command("backtest")(backtest)


@app.command("check")
def check(
    file: Annotated[Path, typer.Argument(help="A rulebook as YAML.")],
    temporary_rule: Overlay = None,
) -> None:
    """Check a rulebook, and a temporary rule over it; say all that is wrong."""
    rulebook = read_rulebook(read_text(file), file=str(file))
    say(f"{file}: {rulebook.rulebook} version {rulebook.version} is in order")
    if temporary_rule is not None:
        text = read_text(temporary_rule)
        rule = read_temporary_rule(text, rulebook, file=str(temporary_rule))
        say(f"{temporary_rule}: {rule.temporary_rule} fits it")


@app.command("publish")
def publish(
    file: Annotated[Path, typer.Argument(help="A rulebook as YAML.")],
    home: Home = None,
) -> None:
    """Publish a version of a rulebook in this installation."""
    rulebook = read_rulebook(read_text(file), file=str(file))
    ledger, _ = open_ledger(read_settings(home))
    ref = publish_rulebook(ledger, rulebook)
    say(f"published {ref.rulebook} version {ref.version}, {ref.digest}")


@app.command("list")
def show_all(home: Home = None, output: Output = Format.table) -> None:
    """List the published versions of every rulebook."""
    ledger, _ = open_ledger(read_settings(home))
    entries = [
        item
        for item in ledger.log.entries()
        if item.entry.kind == "rule-version" and "rules" in item.entry.body
    ]
    rows = [
        {
            "rulebook": f"{item.entry.body['rulebook']}@{item.entry.body['version']}",
            "published_at": item.entry.recorded_at.isoformat(),
            "entry": item.index,
        }
        for item in entries
    ]
    emit(rows, output, name="rulebook")


@app.command("show")
def show(  # noqa: PLR0913 - one parameter per option
    rulebook: Version,
    at: At = "",
    trial: Trial = "",
    temporary_rule: Overlay = None,
    home: Home = None,
    output: Output = Format.table,
) -> None:
    """Show the provisions as they read at an instant, with their values and sources."""
    asked = asked_for(
        rulebook, home=home, at=instant(at), trial=trial, overlay=temporary_rule
    )
    say(named(asked.rulebook))
    if asked.at.date() < asked.rulebook.in_force_from:
        say(f"it is not in force at {asked.at.isoformat()}")
    _say_overlay(asked)
    found = rules_in_force(
        asked.rulebook, asked.at, temporary_rule=asked.temporary_rule
    )
    if output in (Format.json, Format.yaml):
        emit([item.model_dump(mode="json") for item in found], output, name="rule")
        return
    rows = [
        {
            "rule": item.rule,
            "text": item.text,
            "values": "; ".join(value.sentence() for value in item.values),
            "exception": item.exception.sentence() if item.exception else "",
            "waivable": item.waivable,
            "source": f"{item.source.instrument}, {item.source.provision}",
        }
        for item in found
    ]
    emit(rows, output, name="rule")


@app.command("diff")
def diff(
    before: Version,
    after: Version,
    at: At = "",
    home: Home = None,
    output: Output = Format.table,
) -> None:
    """Show what changed, rule by rule, and whether it loosens or tightens."""
    when = instant(at)
    one = find_version(before, home=home, at=when)
    two = find_version(after, home=home, at=when)
    found = [item.model_dump(mode="json") for item in differences(one, two)]
    say(f"{named(one)}\n{named(two)}")
    if not found:
        say("they say the same")
    emit(found, output, name="field")


def _say_overlay(asked: Asked) -> None:
    rule = asked.temporary_rule
    if rule is None:
        return
    span = f"{rule.in_force.start.isoformat()} to {rule.in_force.end.isoformat()}"
    holds = "is" if rule.in_force.holds(asked.at) else "is not"
    say(f"{rule.temporary_rule} {holds} in force then; it is from {span}")


app.command("render")(render)
app.command("explain")(explain_span)
app.command("test")(run_all)
