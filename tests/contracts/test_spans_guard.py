"""Statements of reviewers: what an engine may run, and what it may not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.adapters.spans_chdb import ChdbSpans
from sandbox.adapters.spans_duckdb import DuckSpans
from sandbox.adapters.spans_files import DerivedFiles
from sandbox.errors import EvidenceError
from sandbox.testing.rules import one_rule
from sandbox.testing.segments import FakeSegments
from sandbox.testing.trial import RecordedTrial

TRIAL = "ride-1"


@pytest.fixture(name="files", scope="module")
def _files(tmp_path_factory: pytest.TempPathFactory) -> DerivedFiles:
    segments = FakeSegments()
    trial = RecordedTrial(TRIAL, segments=segments, receive=segments.receive)
    trial.record("a")
    trial.seal()
    root: Path = tmp_path_factory.mktemp("derived")
    keys = [trial.signer.public_key]
    return DerivedFiles(segments, lambda _: one_rule(), root=root, keys=keys)


@pytest.fixture(name="duckdb", scope="module")
def _duckdb(files: DerivedFiles) -> DuckSpans:
    return DuckSpans(files, memory_mib=256, threads=1)


@pytest.fixture(name="chdb", scope="module")
def _chdb(files: DerivedFiles) -> Iterator[ChdbSpans]:
    spans = ChdbSpans(files, memory_mib=256, threads=1)
    yield spans
    spans.close()


@pytest.mark.parametrize(
    "statement",
    [
        "WITH T AS (SELECT name FROM spans) SELECT count(*) FROM t",
        "WITH t AS (SELECT name FROM SPANS) SELECT count(*) FROM T",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM R WHERE n < 1) "
        "SELECT n FROM r, unnest([1]), (VALUES (1)) v, LATERAL (SELECT 1)",
        "SELECT a FROM (PIVOT (SELECT name FROM spans) ON name IN ('a') "
        "USING count(*))",
        "SELECT row_number() OVER (ORDER BY start_ns) FROM spans",
        "SELECT year(age(started_at, started_at)) + 1 FROM spans",
        "SELECT list_sum(list_transform([0], lambda x: x + 1)) FROM spans",
        "SELECT json_array_length(json_group_array(name)) FROM spans",
    ],
)
def test_duckdb_answers(duckdb: DuckSpans, statement: str) -> None:
    """What depends on the spans alone is answered, however it is written."""
    assert duckdb.sql(TRIAL, statement).rows == ((1,),)


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("SELECT * FROM (SHOW TABLES)", "SHOW"),
        ("SELECT * FROM spans, (SHOW ALL TABLES)", "SHOW"),
        ("SELECT * FROM (DESCRIBE spans)", "DESCRIBE"),
        ("SELECT (SELECT count(*) FROM (SUMMARIZE spans))", "SUMMARIZE"),
        (
            "WITH x AS (WITH sqlite_master AS (SELECT 1) SELECT * FROM sqlite_master) "
            "SELECT * FROM x, sqlite_master",
            "sqlite_master",
        ),
        ("WITH Duckdb_Views AS (FROM duckdb_views) FROM duckdb_views", "duckdb_views"),
    ],
)
def test_duckdb_reads_the_view_alone(
    duckdb: DuckSpans, statement: str, named: str
) -> None:
    """What reads something else than the view is refused; the refusal names it."""
    with pytest.raises(EvidenceError, match=rf"{named}\b.* reads the view `spans`"):
        duckdb.sql(TRIAL, statement)


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("SELECT current_setting('memory_limit')", "current_setting"),
        ("SELECT name FROM spans ORDER BY Random()", "random"),
        ("SELECT main.now(), name FROM spans", "now"),
        ("SELECT uuid() FROM spans", "uuid"),
        ("SELECT getvariable('x')", "getvariable"),
        ("SELECT sum(random()) OVER () FROM spans", "random"),
        ("SELECT list_transform([1], lambda x: x + random())", "random"),
        ("SELECT * FROM (VALUES (txid_current())) v", "txid_current"),
        ("SELECT Current_Date", "current_date"),
        ("SELECT name FROM spans WHERE started_at < localtimestamp", "localtimestamp"),
        ("SELECT current_localtime()", "current_localtime"),
        ("SELECT age(started_at) FROM spans", "age"),
        ("SELECT ago(INTERVAL 1 DAY)", "ago"),
        ("SELECT pg_get_viewdef(1)", "pg_get_viewdef"),
        ("SELECT * FROM spans TABLESAMPLE 10%", "SAMPLE"),
        ("SELECT * FROM spans USING SAMPLE 3", "SAMPLE"),
    ],
)
def test_duckdb_asks_nothing_else(
    duckdb: DuckSpans, statement: str, named: str
) -> None:
    """Chance, clock and machine are not asked; the refusal says what asks them."""
    why = "does not depend on the spans alone"
    with pytest.raises(EvidenceError, match=rf"(?i)`{named}` .*{why}"):
        duckdb.sql(TRIAL, statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM (SHOW TABLES)",
        "SELECT getSetting('max_memory_usage')",
        "SELECT generateUUIDv4()",
        "SELECT name FROM spans ORDER BY rand()",
        "SELECT today()",
        "SELECT * FROM spans SAMPLE 1/2",
    ],
)
def test_chdb_asks_nothing_else(chdb: ChdbSpans, statement: str) -> None:
    """What is not told by the spans alone is no answer of the second engine either."""
    with pytest.raises(EvidenceError):
        chdb.sql(TRIAL, statement)
