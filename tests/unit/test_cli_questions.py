"""`sandbox evidence search`, `trace` and `sql`, with an engine that answers as told."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from sandbox.errors import InputError
from sandbox.model.trace import (
    AttributeTest,
    SegmentDigest,
    SpanAnswer,
    SpanQuestion,
    SqlAnswer,
)
from sandbox.testing.traces import TRACE, odd_trace, recorded_span, verdict
from workflows.cli import questions
from workflows.cli.answers import SqlFormat, emit_sql
from workflows.cli.evidence import application

TRIAL = "ride-1"
EVIDENCE = (SegmentDigest(number=1, raw_digest="sha256:" + "a" * 64),)


class ScriptedSpans:
    """Answers as told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.spans = tuple(odd_trace())
        self.rows: tuple[tuple[Any, ...], ...] = (("frontend", 7), ("a,b", None))
        self.asked: list[Any] = []

    def _answer(self) -> SpanAnswer:
        return SpanAnswer(
            trial_id=TRIAL,
            spans=self.spans,
            more=True,
            evidence=EVIDENCE,
            unsealed=2,
            engine="scripted 1.0",
        )

    def search(self, trial_id: str, question: SpanQuestion) -> SpanAnswer:
        """Return the spans."""
        self.asked.append((trial_id, question))
        return self._answer()

    def trace(self, trial_id: str, trace_id: str) -> SpanAnswer:
        """Return the spans."""
        self.asked.append((trial_id, trace_id))
        return self._answer()

    def sql(self, trial_id: str, statement: str, *, limit: int = 1000) -> SqlAnswer:
        """Return the rows."""
        self.asked.append((trial_id, statement, limit))
        return SqlAnswer(
            trial_id=TRIAL,
            statement=statement,
            columns=("service", "n"),
            rows=self.rows,
            more=False,
            evidence=EVIDENCE,
            engine="scripted 1.0",
        )


@pytest.fixture(name="spans")
def _spans(monkeypatch: pytest.MonkeyPatch) -> ScriptedSpans:
    scripted = ScriptedSpans()
    monkeypatch.setattr(questions, "open_spans", lambda *_: scripted)
    return scripted


def call(*arguments: object, given: str = "", columns: int = 120) -> Result:
    """Run `sandbox evidence …` in this process."""
    words = [str(item) for item in arguments]
    env = {"COLUMNS": str(columns)}
    return CliRunner().invoke(application(), words, input=given, env=env)


def test_options_become_a_question(spans: ScriptedSpans, tmp_path: Path) -> None:
    """What is typed is what the engine is asked."""
    ended = call(
        *("search", TRIAL, "--service", "driver", "--min-duration", "250ms"),
        *("--attribute", "http.status_code=200", "--attribute", "user"),
        *("--result", "not-evaluable", "--limit", 3, "--home", tmp_path),
    )
    assert ended.exit_code == 0
    asked = SpanQuestion(
        service="driver",
        min_duration_s=0.25,
        attributes=(
            AttributeTest(key="http.status_code", value=200),
            AttributeTest(key="user"),
        ),
        result="not_evaluable",
        limit=3,
    )
    assert spans.asked == [(TRIAL, asked)]


def test_bad_options_are_all_named(spans: ScriptedSpans, tmp_path: Path) -> None:
    """Nothing is asked; every problem has its place."""
    ended = call("search", TRIAL, "--since", "now", "--limit", 0, "--home", tmp_path)
    assert isinstance(ended.exception, InputError)
    assert "--since" in ended.exception.diagnosis
    assert "--limit" in ended.exception.diagnosis
    assert spans.asked == []


def test_found_spans_are_listed(spans: ScriptedSpans, tmp_path: Path) -> None:
    """A line for each span, and below it what was searched."""
    ended = call("search", TRIAL, "--home", tmp_path, columns=200)
    line = next(line for line in ended.stdout.splitlines() if "operation 2" in line)
    assert "2026-01-01 00:00:00.010" in line
    for part in ("110 ms", "✗ dispatch/offer-time ? dispatch/fare", TRACE, "1/0/1"):
        assert part in line
    assert "searched 1 sealed segment with scripted 1.0" in ended.stderr
    assert "2 not sealed yet and not searched" in ended.stderr
    assert "more than the limit" in ended.stderr


def test_a_narrow_terminal_cuts_nothing_off(
    spans: ScriptedSpans, tmp_path: Path
) -> None:
    """Where a table has no room, a span has two lines, and its trace stays whole."""
    ended = call("search", TRIAL, "--home", tmp_path, columns=80)
    lines = ended.stdout.splitlines()
    assert len(lines) == 2 * len(spans.spans)
    place = next(n for n, line in enumerate(lines) if "operation 2" in line)
    assert "110 ms  dispatch  operation 2" in lines[place]
    assert lines[place + 1] == f"  trace {TRACE}  place 1/0/1"


@pytest.mark.parametrize(
    ("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)]
)
def test_answers_for_machines_are_whole(
    spans: ScriptedSpans, tmp_path: Path, form: str, read: Any
) -> None:
    """JSON and YAML hold the answer as a record: rule results in words, digests."""
    ended = call("search", TRIAL, "--home", tmp_path, "-o", form)
    answer = SpanAnswer.model_validate(read(ended.stdout))
    assert answer.evidence == EVIDENCE
    assert answer.spans == spans.spans


def test_names_are_traces(spans: ScriptedSpans, tmp_path: Path) -> None:
    """With names alone, a trace is named once, ready for the next command."""
    ended = call("search", TRIAL, "--home", tmp_path, "-o", "name")
    assert ended.stdout.split() == [TRACE]


@pytest.mark.parametrize("columns", [80, 160])
def test_a_trace_is_drawn_within_the_terminal(
    spans: ScriptedSpans, tmp_path: Path, columns: int
) -> None:
    """Every delivery has a line with a bar; no line is too long."""
    ended = call("trace", TRIAL, TRACE.upper(), "--home", tmp_path, columns=columns)
    assert ended.exit_code == 0
    assert spans.asked == [(TRIAL, TRACE)]
    lines = ended.stdout.splitlines()
    assert all(len(line) <= columns for line in lines)
    drawn = [line for line in lines if "█" in line or "‹" in line]
    assert len(drawn) == 11
    for words in ("delivered again", "with other content", "parent not recorded"):
        assert words in ended.stdout
    assert "✗ dispatch/offer-time violated: operation 2 (1/0/1)" in ended.stdout


def test_names_in_spans_do_not_steer_the_terminal(
    spans: ScriptedSpans, tmp_path: Path
) -> None:
    """Escape sequences and markup are shown, not obeyed."""
    name = "\x1b[2Jgone \x9b1m[red]bold[/red]\u202e"
    said = verdict("dispatch/fare", "not_evaluable", name)
    spans.spans = (recorded_span("1", name=name, service=name, verdicts=(said,)),)
    spans.rows = ((name, 1),)
    for words in (("trace", TRIAL, TRACE), ("search", TRIAL), ("sql", TRIAL, "SELECT")):
        ended = call(*words, "--home", tmp_path, columns=300)
        assert r"\x1b[2Jgone \x9b1m[red]bold[/red]\u202e" in ended.stdout
        assert not {"\x1b", "\x9b", "\u202e"} & set(ended.stdout)


def test_rows_without_a_table_do_not_steer_the_terminal(
    spans: ScriptedSpans, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name is one visible line; csv is visible on a terminal, and whole in a file."""
    spans.rows = (("\x1b[2J\n\u202e", None),)
    answer = spans.sql(TRIAL, "SELECT 1")
    emit_sql(answer, SqlFormat.name)
    assert capsys.readouterr().out == "\\x1b[2J\\n\\u202e\n"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.stdout, "isatty", lambda: True)
        emit_sql(answer, SqlFormat.csv)
    assert capsys.readouterr().out == "service,n\n\\x1b[2J\\n\\u202e,\n"
    emit_sql(answer, SqlFormat.csv)
    assert capsys.readouterr().out == 'service,n\n"\x1b[2J\n\u202e",\n'


def test_a_trace_becomes_a_page(spans: ScriptedSpans, tmp_path: Path) -> None:
    """The page is written beside the drawing; rules without a verdict need nothing."""
    spans.spans = (recorded_span("1"),)
    file = tmp_path / "trace.html"
    ended = call("trace", TRIAL, TRACE, "--html", file, "--home", tmp_path)
    assert ended.exit_code == 0
    assert TRACE in file.read_text()
    assert EVIDENCE[0].raw_digest in file.read_text()
    nowhere = tmp_path / "no" / "trace.html"
    ended = call("trace", TRIAL, TRACE, "--html", nowhere, "--home", tmp_path)
    assert isinstance(ended.exception, InputError)
    assert str(nowhere) in ended.exception.diagnosis


def test_a_trace_that_is_not_there(spans: ScriptedSpans, tmp_path: Path) -> None:
    """It ends with 1 and says so; what is no trace id is not asked for."""
    spans.spans = ()
    ended = call("trace", TRIAL, "0" * 32, "--home", tmp_path)
    assert ended.exit_code == 1
    assert "no span of trace" in ended.stderr
    ended = call("trace", TRIAL, "abc", "--home", tmp_path)
    assert isinstance(ended.exception, InputError)
    assert len(spans.asked) == 1


def test_sql_from_words_and_from_standard_input(
    spans: ScriptedSpans, tmp_path: Path
) -> None:
    """A dash reads the statement; the limit goes along; rows come as asked."""
    call("sql", TRIAL, "SELECT 1", "--limit", 5, "--home", tmp_path)
    ended = call("sql", TRIAL, "-", "--home", tmp_path, "-o", "csv", given="SELECT 2")
    assert spans.asked == [(TRIAL, "SELECT 1", 5), (TRIAL, "SELECT 2", 1000)]
    assert ended.stdout == 'service,n\nfrontend,7\n"a,b",\n'
    ended = call("sql", TRIAL, "SELECT 3", "--home", tmp_path, "-o", "json")
    assert SqlAnswer.model_validate_json(ended.stdout).rows == spans.rows
    ended = call("sql", TRIAL, "SELECT 3", "--home", tmp_path)
    assert "frontend" in ended.stdout
    assert "searched 1 sealed segment" in ended.stderr
