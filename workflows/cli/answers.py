"""How answers about spans are written: rows, pages, and what was searched."""

from __future__ import annotations

import csv
import sys
from enum import StrEnum
from pathlib import Path
from typing import Any

from rich.console import Console

from sandbox.errors import InputError
from sandbox.model.application import Defect
from sandbox.model.trace import RecordedSpan, SpanAnswer, SqlAnswer
from sandbox.monitor.observe import span_start
from sandbox.query.wording import MARKS, counted, duration_words, place_words
from sandbox.report import Readings, TraceStory, read_rules, render_trace
from workflows.activities.keeping import Ledger
from workflows.cli.output import Format, emit, emit_one, print_table, say, visible

_WIDE = 120
"""Columns from which a list of spans is a table."""


class SqlFormat(StrEnum):
    """How rows are written."""

    table = "table"
    json = "json"
    yaml = "yaml"
    name = "name"
    csv = "csv"


def emit_found(answer: SpanAnswer, form: Format) -> None:
    """Write the spans that were found to standard output."""
    if form in (Format.json, Format.yaml):
        emit_one(answer.model_dump(mode="json"), form, name="trial_id")
    elif form is Format.name:
        traces = dict.fromkeys(item.span.trace_id for item in answer.spans)
        sys.stdout.writelines(f"{trace}\n" for trace in traces)
    elif Console().width >= _WIDE or not answer.spans:
        emit([_found(item) for item in answer.spans], form, name="trace")
    else:
        for item in answer.spans:
            _print_in_two_lines(_found(item))


def _found(item: RecordedSpan) -> dict[str, Any]:
    span = item.span
    return {
        "start": f"{span_start(span):%Y-%m-%d %H:%M:%S.%f}"[:-3],
        "took": duration_words(span.end_unix_nano - span.start_unix_nano),
        "service": span.service,
        "operation": span.name,
        "status": span.status,
        "rules": " ".join(f"{MARKS[one.result]} {one.rule}" for one in item.verdicts),
        "trace": span.trace_id,
        "place": place_words(item),
    }


def _print_in_two_lines(row: dict[str, Any]) -> None:
    """Write a span so that its trace can be copied where a table has no room."""
    names = ("start", "took", "service", "operation", "status", "rules")
    first = "  ".join(visible(row[name]) for name in names if row[name])
    second = f"  trace {row['trace']}  place {row['place']}"
    sys.stdout.write(f"{first}\n{second}\n")


def emit_sql(answer: SqlAnswer, form: SqlFormat) -> None:
    """Write the rows of a statement to standard output."""
    if form is SqlFormat.csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        rows = [answer.columns, *answer.rows]
        # Who reads a file needs the values as they are; a terminal would obey them.
        shown = [map(_shown, row) for row in rows] if sys.stdout.isatty() else rows
        writer.writerows(shown)
    elif form is SqlFormat.name:
        sys.stdout.writelines(f"{_shown(row[0])}\n" for row in answer.rows)
    elif form is SqlFormat.table:
        print_table(answer.columns, answer.rows)
    else:
        data = answer.model_dump(mode="json")
        emit_one(data, Format(form.value), name="trial_id")


def _shown(value: Any) -> str:
    return "" if value is None else visible(str(value))


def say_searched(answer: SpanAnswer | SqlAnswer) -> None:
    """Say on standard error what an answer was drawn from."""
    number = len(answer.evidence)
    said = f"searched {counted(number, 'sealed segment')} with {answer.engine}"
    if answer.unsealed:
        said += f"; {answer.unsealed} not sealed yet and not searched"
    if answer.erased:
        said += f"; {answer.erased} erased, as the log says"
    if answer.more:
        said += "; there is more than the limit"
    say(said)


def write_page(file: Path, trace_id: str, answer: SpanAnswer, ledger: Ledger) -> None:
    """Write a trace as a page.

    Raises:
        EvidenceError: What was derived differs from what the rules say.
        InputError: The file cannot be written.
    """
    story = TraceStory(
        trace_id=trace_id,
        answer=answer,
        readings=_readings(ledger, answer),
        written_at=ledger.clock.now(),
    )
    try:
        file.write_text(render_trace(story), encoding="utf-8")
    except OSError as error:
        defect = Defect(
            code="page/unwritable",
            what=f"cannot be written: {error.strerror}",
            remedy="Name a file in a folder that exists",
            file=str(file),
        )
        raise InputError([defect]) from error
    say(f"wrote {file}")


def _readings(ledger: Ledger, answer: SpanAnswer) -> Readings:
    if not any(item.verdicts for item in answer.spans):
        return {}
    rule = ledger.temporary_rule(answer.trial_id)
    rulebook = ledger.records.rulebook(rule.of.rulebook, rule.of.version)
    return read_rules(answer, ledger.rules(answer.trial_id), rulebook)
