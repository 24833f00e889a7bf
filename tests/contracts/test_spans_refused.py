"""What may not be asked in SQL is refused by the guard that is there for it.

Every case gives a part of the reason: a statement that failed for another one, as one
with a slip in it does, would say nothing of the guard.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sandbox.adapters.spans_chdb import ChdbSpans
from sandbox.adapters.spans_duckdb import DuckSpans
from sandbox.adapters.spans_files import DerivedFiles
from sandbox.errors import EvidenceError
from sandbox.ports import Spans
from sandbox.rules import CompiledRules
from sandbox.testing.segments import FakeSegments
from sandbox.testing.spans import FakeSpans
from sandbox.testing.trial import RecordedTrial

TRIAL = "ride-1"
RULES = CompiledRules((), version=1, overlay=None)
ONLY = "only one statement that reads"
NO_WRITING = "not authorized"
READING_ELSEWHERE = "(…)` may not be asked: a statement reads the view `spans`"
NOT_OF_SPANS = "` may not be asked: its answer does not depend on the spans alone"
NEVER = "/tmp/never-written"

Open = Callable[[str], Spans]


@pytest.fixture(name="opened")
def _opened(tmp_path: Path) -> Iterator[Open]:
    """Opens an engine, by its name, over a trial of one span."""
    segments = FakeSegments()
    trial = RecordedTrial(TRIAL, segments=segments, receive=segments.receive)
    trial.record("a")
    trial.seal()
    keys = [trial.signer.public_key]
    files = DerivedFiles(segments, lambda _: RULES, root=tmp_path, keys=keys)
    with closing(ChdbSpans(files, memory_mib=256, threads=1)) as chdb:
        engines: dict[str, Spans] = {
            "fake": FakeSpans(segments, lambda _: RULES, keys=keys),
            "duckdb": DuckSpans(files, memory_mib=256, threads=1),
            "chdb": chdb,
        }
        yield engines.__getitem__


@pytest.fixture(name="address")
def _address() -> Iterator[str]:
    """Give the address of a listener to which nobody may connect."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def refusal(spans: Spans, statement: str) -> str:
    """Return why a statement is refused; nothing is written, and asking goes on."""
    with pytest.raises(EvidenceError) as caught:
        spans.sql(TRIAL, statement)
    assert not Path(NEVER).exists()
    assert spans.sql(TRIAL, "SELECT count(*) FROM spans").rows == ((1,),)
    return caught.value.diagnosis


# What the fake, DuckDB and chDB say. What ClickHouse's parser does not read is refused
# by the parser.
EVERYWHERE = [
    ("", (ONLY, ONLY, "Empty query")),
    ("SELEC 1", ('near "SELEC"', 'at or near "SELEC"', "Syntax error")),
    ("SELECT 1; SELECT 2", ("one statement at a time", ONLY, "Multi-statements")),
    ("CREATE TABLE t (a INTEGER)", (NO_WRITING, ONLY, ONLY)),
    ("DELETE FROM spans WHERE true", (NO_WRITING, ONLY, ONLY)),
    ("UPDATE spans SET name = 'x' WHERE true", (NO_WRITING, ONLY, ONLY)),
    ("DROP VIEW spans", (NO_WRITING, ONLY, ONLY)),
    (
        "SELECT * FROM nowhere",
        (
            "no such table: nowhere",
            "there is no table `nowhere`",
            "Unknown table expression identifier 'nowhere'",
        ),
    ),
    (
        "SELECT * FROM '/etc/passwd'",
        (
            "no such table: /etc/passwd",
            "there is no table `/etc/passwd`",
            "Cannot execute query in readonly mode",
        ),
    ),
    (
        "SELECT missing FROM spans",
        (
            "no such column: missing",
            'column "missing" not found',
            "Unknown expression identifier `missing`",
        ),
    ),
]


@pytest.mark.parametrize("engine", ["fake", "duckdb", "chdb"])
@pytest.mark.parametrize(("statement", "reasons"), EVERYWHERE)
def test_refused_statements(
    opened: Open, engine: str, statement: str, reasons: tuple[str, str, str]
) -> None:
    """What does not read the view `spans`, once, is refused with a sentence."""
    reason = dict(zip(("fake", "duckdb", "chdb"), reasons, strict=True))[engine]
    assert reason in refusal(opened(engine), statement)


@pytest.mark.parametrize(
    "statement",
    [
        "ATTACH ':memory:' AS other",
        "PRAGMA database_list",
        "SELECT load_extension('x')",
    ],
)
def test_the_fake_stays_inside(opened: Open, statement: str) -> None:
    """No statement reaches a file, a setting or an extension of SQLite."""
    assert NO_WRITING in refusal(opened("fake"), statement)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("SELECT * FROM read_text('/etc/passwd')", READING_ELSEWHERE),
        ("SELECT * FROM glob('/*')", READING_ELSEWHERE),
        (
            "WITH t AS (SELECT 1) SELECT * FROM t, read_csv('/etc/passwd')",
            READING_ELSEWHERE,
        ),
        (
            "SELECT (SELECT count(*) FROM read_blob('/etc/passwd')) FROM spans",
            READING_ELSEWHERE,
        ),
        ("SELECT * FROM query('SELECT 1')", READING_ELSEWHERE),
        ("SELECT * FROM duckdb_settings()", READING_ELSEWHERE),
        ("SELECT * FROM information_schema.tables", "there is no table `tables`"),
        (f"COPY (SELECT 1) TO '{NEVER}'", ONLY),
        ("COPY spans FROM '/etc/passwd'", ONLY),
        ("SET memory_limit = '1TB'", ONLY),
        ("ATTACH ':memory:' AS other", ONLY),
        ("PRAGMA database_list", ONLY),
        ("INSTALL httpfs", ONLY),
        ("LOAD httpfs", ONLY),
        ("CALL pragma_version()", ONLY),
        ("EXPLAIN ANALYZE SELECT 1", ONLY),
        (f"EXPORT DATABASE '{NEVER}'", ONLY),
    ],
)
def test_duckdb_stays_inside(opened: Open, statement: str, reason: str) -> None:
    """No statement reaches a file, a setting or an extension of DuckDB."""
    assert reason in refusal(opened("duckdb"), statement)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("INSTALL httpfs FROM 'http://{}'", ONLY),
        ("ATTACH 'http://{}/a.db' AS other", ONLY),
        ("SELECT * FROM read_csv('http://{}/a.csv')", READING_ELSEWHERE),
        ("SELECT * FROM 'http://{}/a.csv'", "there is no table `http://"),
    ],
)
def test_duckdb_connects_to_nobody(
    opened: Open, address: str, statement: str, reason: str
) -> None:
    """No statement reaches the network through DuckDB."""
    assert reason in refusal(opened("duckdb"), statement.format(address))


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("SELECT file('/etc/passwd')", NOT_OF_SPANS),
        ("SELECT FILE('/etc/passwd') FROM spans", NOT_OF_SPANS),
        ("SELECT arrayMap(file, ['/etc/passwd'])", NOT_OF_SPANS),
        ("SELECT arrayMap(x -> file(x), ['/etc/passwd'])", NOT_OF_SPANS),
        ("SELECT * APPLY(file) FROM (SELECT '/etc/passwd')", NOT_OF_SPANS),
        ("WITH file AS f SELECT arrayMap(f, ['/etc/passwd'])", NOT_OF_SPANS),
        ("SELECT dictGet('d', 'a', 1)", NOT_OF_SPANS),
        ("SELECT joinGet('j', 'a', 1)", NOT_OF_SPANS),
        ("SELECT hostName()", NOT_OF_SPANS),
        ("SELECT now()", NOT_OF_SPANS),
        ("SELECT rand()", NOT_OF_SPANS),
        ("SELECT * FROM file('/etc/passwd', 'LineAsString')", READING_ELSEWHERE),
        ("SELECT * FROM executable('id', 'TSV', 'a String')", READING_ELSEWHERE),
        ("SELECT * FROM merge('system', 'one')", READING_ELSEWHERE),
        ("SELECT * FROM (EXPLAIN AST SELECT 1)", READING_ELSEWHERE),
        ("SELECT * FROM system.settings", "no table `system.settings`"),
        (
            "SELECT name FROM spans WHERE name IN system.time_zones",
            "no table `system.time_zones`",
        ),
        ("SELECT * FROM derived_0", "no table `default.derived_0`"),
        ("SELECT * FROM `/etc/passwd`", "Cannot execute query in readonly mode"),
        (f"SELECT 1 INTO OUTFILE '{NEVER}'", "a statement has no file to write;"),
        ("SELECT 1 FORMAT Native", "a statement has no format;"),
        ("SELECT 1 SETTINGS readonly = 0", "a statement has no settings;"),
        (
            "SELECT * FROM (SELECT 1 SETTINGS max_memory_usage = 0)",
            "a statement has no settings;",
        ),
        ("SELECT 1) ; DROP VIEW spans; SELECT (1", "Unmatched parentheses"),
        (f"INSERT INTO FUNCTION file('{NEVER}', 'TSV', 'a Int8') SELECT 1", ONLY),
        (f"CREATE TABLE t ENGINE = File(TSV, '{NEVER}') AS SELECT 1", ONLY),
        ("ATTACH TABLE t", ONLY),
        ("SET readonly = 0", ONLY),
        ("SYSTEM SHUTDOWN", ONLY),
        (f"BACKUP ALL TO File('{NEVER}')", ONLY),
        ("EXPLAIN SELECT 1", ONLY),
        ("DESCRIBE spans", "does not support JSON"),
    ],
)
def test_chdb_stays_inside(opened: Open, statement: str, reason: str) -> None:
    """No statement reaches a file, a table or a setting through chDB."""
    told = refusal(opened("chdb"), statement)
    assert reason in told
    assert "root:" not in told


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM spans, url('http://{}/', 'TSV', 'a String')",
        "SELECT (SELECT count() FROM s3('http://{}/b/k', 'TSV', 'a String'))",
        "SELECT * FROM remote('{}', system.one)",
        "SELECT * FROM mysql('{}', 'd', 't', 'u', 'p')",
        "SELECT * FROM postgresql('{}', 'd', 't', 'u', 'p')",
    ],
)
def test_chdb_connects_to_nobody(opened: Open, address: str, statement: str) -> None:
    """No statement reaches the network through chDB."""
    told = refusal(opened("chdb"), statement.format(address))
    assert READING_ELSEWHERE in told
