"""Expressions become SQL that says what the CEL engine says."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from sandbox.adapters.spans_parquet import to_parquet
from sandbox.query import Origin
from sandbox.query.dialects import ClickHouseSql, DuckSql
from sandbox.query.predicates import Outside, Predicate, predicate_sql
from sandbox.rules.cel import Expression
from sandbox.testing.differential import (
    DerivedSpans,
    Write,
    derive_requests,
    differences,
)


def _request(attributes: dict[str, Any]) -> bytes:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(name="/dispatch")
    for key, value in attributes.items():
        kinds = {
            str: "string",
            bool: "bool",
            int: "int",
            float: "double",
            list: "array",
        }
        held = span.attributes.add(key=key).value
        if isinstance(value, list):
            held.array_value.values.add().int_value = value[0]
        else:
            setattr(held, f"{kinds[type(value)]}_value", value)
    return request.SerializeToString()


def writing(folder: Path) -> Write:
    def write(table: pa.Table, origin: Origin) -> Path:
        path = folder / "spans.parquet"
        path.write_bytes(to_parquet(table, origin))
        return path

    return write


def derived(folder: Path, *spans: dict[str, Any]) -> DerivedSpans:
    return derive_requests([_request(i) for i in spans], writing(folder))


def compiled(text: str, origin: Origin, **params: float) -> Predicate:
    return predicate_sql(Expression(text), params, origin=origin, dialect=DuckSql())


def ask(columns: str, path: Path, _: Origin) -> Sequence[Sequence[Any]]:
    with duckdb.connect(":memory:", config={"threads": 1}) as engine:
        return engine.execute(f"SELECT {columns} FROM '{path}'").fetchall()


def answers(text: str, spans: DerivedSpans, **params: float) -> list[Any]:
    """What is said of each span, in order; `unsure` where the SQL cannot tell."""
    found = compiled(text, spans.origin, **params)
    rows = ask(f"frame, {found.truth}, {found.unsure}", spans.path, spans.origin)
    return ["unsure" if row[2] else row[1] for row in sorted(rows)]


def test_agreement(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    """Of random rules and spans DuckDB says what the per-span engine says."""
    seed = pytestconfig.getoption("seed") or random.randrange(10**9)
    print(f"seed {seed}")
    [found] = differences(
        random.Random(seed),
        pytestconfig.getoption("pairs") or 2_000,
        write=writing(tmp_path),
        asking=[(DuckSql(), ask)],
    )
    assert not found.differences, (seed, found.differences[:3])
    assert found.unsure < found.pairs / 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('span.attributes["a"] == 1', [True, False, True, False, None, "unsure"]),
        ('span.attributes["a"] <= 1', [True, None, True, None, None, "unsure"]),
        ('span.attributes["a"] + 1 == 2', [True, None, None, None, None, "unsure"]),
        ('"a" in span.attributes', [True, True, True, True, False, True]),
        ('span.attributes["a"] == "x" || true', [True] * 5 + ["unsure"]),
        ('span.attributes.exists(k, k == "a")', [True, True, True, True, False, True]),
        ("size(span.attributes) == 1", [True, True, True, True, False, True]),
    ],
)
def test_kinds(tmp_path: Path, text: str, expected: list[Any]) -> None:
    """An attribute is compared in whichever type a span has it; a list is left to the
    per-span engine, and what is missing is not evaluable.
    """
    spans = derived(
        tmp_path, {"a": 1}, {"a": "x"}, {"a": 1.0}, {"a": True}, {}, {"a": [1]}
    )
    assert answers(text, spans) == expected


@pytest.mark.parametrize(
    "text",
    [
        "span.attributes.a + 9223372036854775807 > 0",
        "span.attributes.a / 0 == 0",
        "span.attributes.a % 0 == 0",
        "(-9223372036854775807 - span.attributes.a) / -1 == 0",
        "(-9223372036854775807 - span.attributes.a) % -1 == 0",
        "span.attributes.a * 9223372036854775807 * 2 == 0",
    ],
)
def test_no_number(tmp_path: Path, text: str) -> None:
    """Whole numbers that leave 64 bits, and division by zero, are not evaluable."""
    assert answers(text, derived(tmp_path, {"a": 1})) == [None]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("int(span.attributes.a) == 7", [True, True, "unsure", None, None]),
        ("double(span.attributes.a) == 7.0", [True, "unsure", "unsure", False, None]),
        ('string(span.attributes.a) == "7"', [True, False, False, "unsure", None]),
        (
            'timestamp(span.attributes.a) > timestamp("1970-01-01T00:00:06.9Z")',
            [True, "unsure", "unsure", None, None],
        ),
        (
            'timestamp(span.attributes.a) + duration("1m0.5s") == '
            'timestamp("1970-01-01T09:01:07.5+09:00")',
            [True, "unsure", "unsure", None, None],
        ),
        (
            "timestamp(span.start_unix_nano + span.attributes.a) "
            '- timestamp(0) == duration("7s")',
            [True, None, None, None, None],
        ),
    ],
)
def test_conversions(tmp_path: Path, text: str, expected: list[Any]) -> None:
    """What is converted exactly is converted in SQL; the rest is left to the per-span
    engine.
    """
    spans = derived(tmp_path, {"a": 7}, {"a": "007"}, {"a": " 7"}, {"a": 2.0**63}, {})
    assert answers(text, spans) == expected


def test_instants(tmp_path: Path) -> None:
    """Text in the usual form of RFC 3339 is read in SQL, with its zone and to the
    nanosecond; any other is left to the per-span engine.
    """
    same = ("2026-03-31T21:00:00.500000001Z", "2026-04-01T06:00:00.500000001+09:00")
    other = ("2026-03-31T21:00:00.5Z", "2026-03-31T21:00:00-00:01")
    unusual = (
        "2026-03-31t21:00:00z",
        "2026-02-30T00:00:00Z",
        "2024-02-29T00:00:00Z",
        "",
    )
    texts = [{"a": text} for text in (*same, *other, *unusual)]
    text = f'timestamp(span.attributes.a) == timestamp("{same[0]}")'
    expected = [True, True, False, False, *["unsure"] * 4]
    assert answers(text, derived(tmp_path, *texts)) == expected


def test_times_beyond(tmp_path: Path) -> None:
    """Instants that leave 64 bits of nanoseconds are left to the per-span engine."""
    spans = derived(tmp_path, {"a": 253402300799})
    assert answers("timestamp(span.attributes.a) > timestamp(0)", spans) == ["unsure"]
    [part] = compiled(
        'dyn(timestamp("0001-01-01T00:00:00Z")) == 1', spans.origin
    ).outside
    assert part.reason == "the instant is not plain RFC 3339 between 1678 and 2261"


def test_not_a_number(tmp_path: Path) -> None:
    """NaN is unequal to everything, and neither before nor after it; beside what is
    missing it is not evaluable.
    """
    spans = derived(tmp_path, {"a": 0.0})
    nan = "span.attributes.a / span.attributes.a"
    for text, expected in (
        (f"{nan} == {nan}", False),
        (f"{nan} != 1.0", True),
        (f"{nan} > 1.0 || {nan} <= 1.0", False),
        (f"{nan} != (span.attributes.b ? 1.0 : 2.0)", None),
    ):
        assert answers(text, spans) == [expected]


def test_nul(tmp_path: Path) -> None:
    """Text with NUL, of which rules see the beginning, is left to their engine; an
    attribute whose name has NUL in it does not exist to rules.
    """
    spans = derived(tmp_path, {"a": "x\0y"}, {"a": "x"})
    assert answers('span.attributes.a == "x"', spans) == ["unsure", True]
    hidden = derived(tmp_path, {"a\0": 1}, {"a": 1})
    assert answers("has(span.attributes.a)", hidden) == [False, True]
    assert answers("span.attributes.exists(k, true)", hidden) == [False, True]
    assert answers("size(span.attributes) == 1", hidden) == ["unsure", "unsure"]


def test_outside(tmp_path: Path) -> None:
    """Everything outside the subset is named, each with its place and the reason, and
    the predicate is unsure of every span.
    """
    spans = derived(tmp_path, {"a": 1})
    text = "[1].map(x, x) == [1] ||\n  span.attributes[span.name] == type(1)"
    found = compiled(text, spans.origin)
    assert found.outside == (
        Outside(1, 8, "of the loops, exists and all are put into SQL"),
        Outside(1, 18, "a list is not compared or computed with"),
        Outside(2, 18, "which key is asked for depends on the span"),
        Outside(2, 37, "`type` is not put into SQL"),
    )
    assert answers(text, spans) == ["unsure"]


def test_params(tmp_path: Path) -> None:
    """Values in force are constants of the SQL; one that is not in force is missing."""
    spans = derived(tmp_path, {"a": 3})
    assert answers("span.attributes.a <= params.p", spans, p=3.0) == [True]
    assert answers("span.attributes.a <= params.p", spans) == [None]


def test_only_what_a_file_has(tmp_path: Path) -> None:
    """Attributes that a file does not have cost nothing in its SQL."""
    spans = derived(tmp_path, {"a": "x"})
    found = compiled(
        'span.attributes.a == "x" && !has(span.attributes.b)', spans.origin
    )
    assert found.truth == """("attributes_string:a" = 'x')"""


def test_table(tmp_path: Path) -> None:
    """Columns can be asked of a table by its name, in both dialects."""
    spans = derived(tmp_path, {"a": "x"})
    for dialect in (DuckSql("s"), ClickHouseSql("s")):
        found = predicate_sql(
            Expression("span.attributes.a == span.name && span.duration_s < 1.0"),
            {},
            origin=spans.origin,
            dialect=dialect,
        )
        assert 's."attributes_string:a" = s."name"' in found.truth
        assert found.truth.count('s."') == found.truth.count('"') // 2
