"""`sandbox rule backtest`: a rulebook asked of what was recorded under another.

Rules of this module:

* Exceptions are those of each trial, as they would be over the rulebook that is asked;
  those for rules it does not have are left out, and that is said.
* In JSON and YAML the answer carries everything its figures follow from.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from sandbox.adapters.backtest_chdb import ChdbCounting
from sandbox.adapters.backtest_duckdb import DuckCounting
from sandbox.errors import InputError
from sandbox.model.application import Defect
from sandbox.model.backtest import (
    Backtest,
    BacktestAnswer,
    BacktestEvidence,
    EvidenceTimes,
)
from sandbox.model.rule import Rulebook, TemporaryRule
from sandbox.ports import Backtests
from sandbox.rules import over, read_rulebook, with_values
from sandbox.settings import Settings
from workflows.activities.keeping import Ledger
from workflows.activities.times import evidence_times
from workflows.cli.engines import Engine
from workflows.cli.output import Format, Output, emit, emit_one, say
from workflows.cli.setup import Home, read_settings, read_text
from workflows.worker import asking_with, open_ledger

_NO_RULE = Defect(
    code="backtest/value",
    what="it is not said of which rule this is a parameter",
    remedy="Name the rule with --rule",
    field="--value",
)


def backtest(  # noqa: PLR0913 - one parameter per option of the command
    file: Annotated[Path, typer.Argument(help="A rulebook as YAML.")],
    trials: Annotated[list[str], typer.Argument(help="Names of trials.")],
    rule: Annotated[str, typer.Option(help="Only this rule.")] = "",
    value: Annotated[
        list[str] | None,
        typer.Option(help="NAME=NUMBER: another value of a parameter of --rule."),
    ] = None,
    exceptions: Annotated[
        bool, typer.Option(help="Leave the exceptions of the trials in force.")
    ] = True,
    violations: Annotated[
        int, typer.Option(help="Name so many violating spans.", min=0, max=100_000)
    ] = 0,
    engine: Annotated[
        Engine, typer.Option(help="What counts: duckdb or chdb.")
    ] = Engine.duckdb,
    home: Home = None,
    output: Output = Format.table,
) -> None:
    """Ask a rulebook of everything that was recorded in trials."""
    rulebook = read_rulebook(read_text(file), file=str(file))
    if value and not rule:
        raise InputError([_NO_RULE])
    if value:
        rulebook = with_values(rulebook, rule, dict(map(_named_value, value)))
    settings = read_settings(home)
    ledger, _ = open_ledger(settings)
    overlays = _overlays(ledger, rulebook, trials) if exceptions else {}
    is_ordered = any(item.pattern for item in rulebook.rules)
    asked = Backtest(
        rulebook=rulebook,
        trials=tuple(trials),
        overlays=overlays,
        rules=(rule,) if rule else (),
        times=_times(ledger, trials) if is_ordered else {},
        violations=violations,
    )
    _tell(open_backtests(settings, ledger, engine).backtest(asked), output)


def open_backtests(settings: Settings, ledger: Ledger, engine: Engine) -> Backtests:
    """Open an engine for backtests over an installation.

    Raises:
        InputError: Both engines are asked at once, which a backtest does not do.
    """
    if engine is Engine.both:
        defect = Defect(
            code="backtest/engine",
            what="is `both`; a backtest is asked of one engine",
            remedy="Ask --engine duckdb and --engine chdb one after the other",
            field="--engine",
        )
        raise InputError([defect])
    counting = ChdbCounting if engine is Engine.chdb else DuckCounting
    opened = counting(
        memory_mib=settings.query_memory_mib, threads=settings.query_threads
    )
    return asking_with(opened, settings.derived_dir, ledger).backtests


def _named_value(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    try:
        return name, float(number)
    except ValueError as error:
        defect = Defect(
            code="backtest/value",
            what=f"{text!r} is no value of a parameter",
            remedy="Write NAME=NUMBER, such as max_offer_s=2.5",
            field="--value",
        )
        raise InputError([defect]) from error


def _overlays(
    ledger: Ledger, rulebook: Rulebook, trials: list[str]
) -> dict[str, TemporaryRule]:
    names = {item.rule for item in rulebook.rules}
    found: dict[str, TemporaryRule] = {}
    for trial_id in trials:
        temporary = ledger.temporary_rule(trial_id)
        kept = [item for item in temporary.overlays if item.exception_to in names]
        for item in temporary.overlays:
            if item not in kept:
                say(f"{trial_id}: `{item.label}` is left out, its rule is not asked")
        changed = temporary.model_copy(update={"overlays": tuple(kept)})
        found[trial_id] = over(rulebook, changed)
    return found


def _times(ledger: Ledger, trials: list[str]) -> dict[str, EvidenceTimes]:
    found = {trial_id: evidence_times(ledger, trial_id) for trial_id in trials}
    for trial_id, times in found.items():
        if times is None:
            say(f"{trial_id} is not closed: its evidence is taken to end where it does")
    return {trial_id: times for trial_id, times in found.items() if times}


def _tell(answer: BacktestAnswer, output: Format) -> None:
    if output in (Format.json, Format.yaml):
        emit_one(answer.model_dump(mode="json"), output, name="data_digest")
        return
    rows = [item.model_dump(exclude={"reasons"}) for item in answer.counts]
    emit(rows, output, name="rule")
    for count in answer.counts:
        for reason in count.reasons:
            say(f"{count.rule}, judged span by span: {reason}")
    for item in answer.violations:
        place = f"segment {item.segment}, frame {item.frame}, span {item.number}"
        say(f"{item.trial_id}: {item.rule} is violated by {item.span_id}, {place}")
    for evidence in answer.evidence:
        for sentence in _not_asked(evidence):
            say(f"{evidence.trial_id}: {sentence}")
    say(f"data {answer.data_digest}, rulebook {answer.rulebook_digest}")


def _not_asked(evidence: BacktestEvidence) -> Iterator[str]:
    """Say what the figures do not speak of."""
    if evidence.erased:
        yield f"{evidence.erased} segments are erased and were not asked"
    if evidence.unsealed:
        yield f"{evidence.unsealed} segments are not sealed and were not asked"
    if not evidence.segments:
        yield "nothing sealed is recorded of it"
