"""Patterns in SQL, with DuckDB and chDB, say what the plain reading of them says."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from sandbox.adapters.spans_chdb_process import ChdbProcess
from sandbox.adapters.spans_parquet import to_parquet
from sandbox.model.pattern import Pattern
from sandbox.query import Origin
from sandbox.query.clickhouse import source_of
from sandbox.query.dialects import ClickHouseSql, DuckSql
from sandbox.query.patterns import SpanTable, pattern_sql
from sandbox.query.verdicts import NOT_EVALUABLE, SATISFIED, VIOLATED
from sandbox.testing.differential import DerivedSpans, derive_requests
from sandbox.testing.patterns import PlainKnown, PlainSpan, reference_results
from sandbox.testing.random_tracks import (
    Tracks,
    exactly,
    judged,
    random_tracks,
    request_of,
)
from sandbox.testing.rules import one_pattern

TRACKS = 20_000
RESULTS = {
    SATISFIED: "satisfied",
    VIOLATED: "violated",
    NOT_EVALUABLE: "not_evaluable",
}


@pytest.mark.timeout(900)
def test_every_result_agrees(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    """On 20,000 random tracks the plain reading, the product's own judging, DuckDB and
    chDB give the same results, each of them thousands of times.
    """
    seed = pytestconfig.getoption("seed") or random.randrange(10**9)
    print(f"seed {seed}")
    results: Counter[str] = Counter()
    with ChdbProcess(memory_mib=4096, threads=2, time_limit_s=60) as process:

        def ask(statement: str) -> list[list[Any]]:
            lines = process.run(statement, "JSONCompactEachRow").splitlines()
            return [json.loads(line) for line in lines]

        for asked in random_tracks(random.Random(seed), TRACKS):
            wanted = expected(asked)
            results.update(wanted.values())
            assert judged(asked) == wanted, (seed, asked.pattern)
            derived = write(asked, tmp_path)
            duck = SpanTable(derived.origin, f"'{derived.path}'")
            chdb = SpanTable(derived.origin, source_of(derived.path, derived.origin))
            for table, dialect, engine in (
                (duck, DuckSql(), ask_duckdb),
                (chdb, ClickHouseSql(), ask),
            ):
                found = in_sql(asked, table, dialect, engine)
                differ = {
                    name: (result, found[name])
                    for name, result in wanted.items()
                    if result != found[name]
                }
                assert not differ, (seed, asked.pattern, asked.known, differ)
    assert all(
        results[name] > TRACKS / 20
        for name in ("none", "satisfied", "violated", "not_evaluable")
    )


def expected(asked: Tracks) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for track in asked.tracks:
        found |= reference_results(asked.pattern, track, asked.known)
    return found


def write(asked: Tracks, folder: Path) -> DerivedSpans:
    def written(table: pa.Table, origin: Origin) -> Path:
        path = folder / "spans.parquet"
        path.write_bytes(to_parquet(table, origin))
        return path

    return derive_requests([request_of(asked.spans)], written)


def in_sql(
    asked: Tracks,
    table: SpanTable,
    dialect: Any,
    engine: Callable[[str], list[Any]],
) -> dict[tuple[str, str], str]:
    (rule,) = asked.rules.rules
    made = pattern_sql(
        asked.rules, rule, tables=[table], dialect=dialect, known=exactly(asked.known)
    )
    assert not made.outside
    assert [int(row[0]) for row in engine(made.unsure)] == [0]
    found = {(span.trace_id, span.span_id): "none" for span in asked.spans}
    given = f"SELECT given, lower(hex(c)), lower(hex(i)) FROM ({made.units}) AS u"
    for result, trace_id, span_id in engine(given):
        assert found[trace_id, span_id] == "none", "a unit comes twice"
        found[trace_id, span_id] = RESULTS[int(result)]
    return found


def ask_duckdb(statement: str) -> list[Any]:
    with duckdb.connect(":memory:") as engine:
        return engine.execute(statement).fetchall()


def test_time_that_is_not_over_is_so_in_any_year(tmp_path: Path) -> None:
    """A unit of the year 2050 whose time goes beyond the evidence is not evaluable."""
    begin = 2_530_000_000
    pattern = Pattern(
        every="span.attributes.p", followed_by="span.attributes.q", within="9s"
    )
    unit = PlainSpan("0" * 15 + "1", "0" * 31 + "1", begin, begin, {"p": True})
    rules = one_pattern(pattern.model_dump(by_alias=True, exclude_none=True))
    asked = Tracks(pattern, rules, ((unit,),), PlainKnown(begin + 4, 10))
    assert set(expected(asked).values()) == {"not_evaluable"}
    derived = write(asked, tmp_path)
    table = SpanTable(derived.origin, f"'{derived.path}'")
    assert in_sql(asked, table, DuckSql(), ask_duckdb) == expected(asked)
