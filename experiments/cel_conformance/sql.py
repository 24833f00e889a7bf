"""What the SQL of an expression makes of a test of the suite.

Rules of this module:

* A test is asked where rules could ask it: without variables and messages, and with an
  expected answer that can be written down. What it gives is compared with that in SQL;
  where an error is expected, the comparison must give NULL.
* Expressions outside the subset are counted apart: there the per-span engine answers.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from experiments.cel_conformance.suite import Case
from sandbox.adapters.spans_chdb_process import ChdbProcess
from sandbox.adapters.spans_parquet import to_parquet
from sandbox.errors import RuleError
from sandbox.query import Origin
from sandbox.query.clickhouse import source_of
from sandbox.query.dialects import ClickHouseSql, DuckSql, SqlDialect
from sandbox.query.predicates import predicate_sql
from sandbox.query.typed import FALSE
from sandbox.rules.cel import Expression
from sandbox.testing.differential import DerivedSpans, derive_requests
from sandbox.testing.patterns import PlainSpan
from sandbox.testing.random_tracks import request_of

_AT_ONCE = 100
"""Questions in one statement."""


class Question(NamedTuple):
    """A test as a truth value that is asked for."""

    test: str
    text: str
    expected: bool | None


class Asked(NamedTuple):
    """What came of asking an engine."""

    agree: tuple[str, ...]
    """Tests whose answer is the expected one."""
    outside: tuple[str, ...]
    """Tests whose expression is not put into SQL."""
    differences: dict[str, str]
    """Test → what SQL gives instead."""


def question_of(case: Case) -> Question | None:
    """Return a test as a question; None where rules could not ask it."""
    test = case.test
    if test.type_env or test.bindings or test.container or test.check_only:
        return None
    which = test.WhichOneof("result_matcher")
    if which in ("eval_error", "any_eval_errors"):
        # An error stays one, whatever it is compared with.
        return Question(case.id, f"dyn({test.expr}) == dyn({test.expr})", None)
    value = test.typed_result.result if which == "typed_result" else test.value
    if which not in (None, "value", "typed_result"):
        return None
    literal = "true" if which is None else _literal(value)
    if not literal:
        return None
    if literal == "NaN":
        return Question(case.id, f"({test.expr}) != ({test.expr})", True)
    return Question(case.id, f"dyn({test.expr}) == dyn({literal})", True)


def ask_engines(cases: Sequence[Case]) -> dict[str, Asked]:
    """Ask DuckDB and chDB every test that rules could ask."""
    questions = [item for item in map(question_of, cases) if item is not None]
    with (
        tempfile.TemporaryDirectory() as work,
        ChdbProcess(memory_mib=2048, threads=1, time_limit_s=60) as process,
    ):
        one = _one_span(Path(work))

        def duck(columns: str) -> list[Any]:
            with duckdb.connect(":memory:") as engine:
                statement = f"SELECT {columns} FROM '{one.path}'"
                return list(engine.execute(statement).fetchall()[0])

        def chdb(columns: str) -> list[Any]:
            source = source_of(one.path, one.origin)
            statement = f"SELECT {columns} FROM {source}"
            (line,) = process.run(statement, "JSONCompactEachRow").splitlines()
            return list(json.loads(line))

        return {
            "duckdb": _asked(questions, one.origin, DuckSql(), duck),
            "chdb": _asked(questions, one.origin, ClickHouseSql(), chdb),
        }


def _one_span(folder: Path) -> DerivedSpans:
    def write(table: pa.Table, origin: Origin) -> Path:
        path = folder / "span.parquet"
        path.write_bytes(to_parquet(table, origin))
        return path

    return derive_requests([request_of([PlainSpan("1" * 16, "2" * 32, 1, 2)])], write)


def _asked(
    questions: Sequence[Question],
    origin: Origin,
    dialect: SqlDialect,
    ask: Callable[[str], list[Any]],
) -> Asked:
    written: list[tuple[Question, str]] = []
    outside: list[str] = []
    for item in questions:
        sql = _sql(item.text, origin, dialect)
        if sql:
            written.append((item, sql))
        else:
            outside.append(item.test)
    agree: list[str] = []
    differences: dict[str, str] = {}
    for begin in range(0, len(written), _AT_ONCE):
        part = written[begin : begin + _AT_ONCE]
        answers = ask(", ".join(f"{sql} AS a{n}" for n, (_, sql) in enumerate(part)))
        for (item, _), answer in zip(part, answers, strict=True):
            given = None if answer is None else bool(answer)
            if given is item.expected:
                agree.append(item.test)
            else:
                differences[item.test] = f"SQL gives {given}, not {item.expected}"
    return Asked(tuple(agree), tuple(outside), differences)


def _sql(text: str, origin: Origin, dialect: SqlDialect) -> str:
    """Return a question as SQL; empty where it is not put into SQL."""
    try:
        expression = Expression(text)
    except RuleError:
        return ""
    made = predicate_sql(expression, {}, origin=origin, dialect=dialect)
    return made.truth if made.unsure == FALSE and not made.outside else ""


def _literal(value: Any) -> str:
    """Return an expected value as CEL writes it; empty where a rule cannot."""
    kind, content = value.WhichOneof("kind"), ""
    if kind == "bool_value":
        content = "true" if value.bool_value else "false"
    elif kind == "int64_value":
        content = str(value.int64_value)
    elif kind == "uint64_value":
        content = f"{value.uint64_value}u"
    elif kind == "double_value":
        content = _double(value.double_value)
    elif kind == "string_value":
        content = json.dumps(value.string_value, ensure_ascii=True)
    elif kind == "null_value":
        content = "null"
    return content


def _double(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return f"{'-' if value < 0 else ''}1.0 / 0.0"
    return repr(value)
