"""One reading statement of a reviewer, run by DuckDB over the view `spans`.

Rules of this module:

* It is read, and refused unless harmless, before it is run
  (`sandbox.adapters.spans_duckdb_guard`).
* It then runs in an engine of its own that may open the derived files and nothing else,
  whose settings are locked, and which keeps nothing on disk.
* A statement has a limited time and memory.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from sandbox.adapters.spans_answers import NO_MEMORY, Found, as_json, too_long
from sandbox.adapters.spans_duckdb_guard import allowed
from sandbox.adapters.spans_files import Derived
from sandbox.errors import EvidenceError
from sandbox.query.columns import Place, core_schema, map_name, shown_names

TIME_LIMIT_S = 60.0
"""A statement that takes longer is stopped."""
DURATION = "((end_ns::HUGEINT - start_ns::HUGEINT)::DOUBLE / 1e9)"
"""A span's duration in seconds, as `Span.duration_s` has it."""
_COMPUTED = {
    "duration_s": DURATION,
    "started_at": "make_timestamp_ns(TRY_CAST(start_ns AS BIGINT))",
}
_HEX = ("trace_id", "span_id", "parent_span_id")


def run_statement(
    statement: str, *, derived: Derived, limit: int, config: Mapping[str, Any]
) -> Found:
    """Run one reading statement.

    Args:
        statement: What a reviewer asks, in DuckDB's SQL.
        derived: What it is asked of.
        limit: The most rows to return.
        config: How DuckDB is opened.

    Raises:
        EvidenceError: It is not such a statement, or cannot be run; says why.
    """
    with duckdb.connect(":memory:", config=dict(config)) as engine:
        text = allowed(statement, engine)
        engine.execute(_view(derived))
        _lock(engine, derived)
        timer = threading.Timer(TIME_LIMIT_S, engine.interrupt)
        timer.start()
        try:
            result = engine.execute(f"SELECT * FROM (\n{text}\n) LIMIT {limit + 1}")
            columns = tuple(item[0] for item in result.description or ())
            rows = result.fetchall()
        except duckdb.Error as error:
            raise EvidenceError(_explained(error)) from error
        finally:
            timer.cancel()
    values = [tuple(as_json(value) for value in row) for row in rows[:limit]]
    return Found(columns, tuple(values), len(rows) > limit)


def _view(derived: Derived) -> str:
    files = [file for file in derived.files if file.origin.spans]
    if not files:
        names = (*core_schema(()).names, *_COMPUTED)
        nothing = ", ".join(f"NULL AS {name}" for name in names)
        return f"CREATE TEMP VIEW spans AS SELECT {nothing} WHERE FALSE"
    origin = files[-1].origin
    own = sorted({place for file in files for place in file.origin.own})
    columns = [_column(name, own) for name in core_schema(origin.rules).names]
    columns += [
        f"{quoted(place.column)} AS {quoted(name)}"
        for place, name in zip(
            origin.promoted, shown_names(origin.promoted), strict=True
        )
    ]
    columns += [f"{written} AS {name}" for name, written in _COMPUTED.items()]
    paths = ", ".join(f"'{_escaped(file.path)}'" for file in files)
    return (
        f"CREATE TEMP VIEW spans AS SELECT {', '.join(columns)} "
        f"FROM read_parquet([{paths}], union_by_name = true)"
    )


def _column(name: str, own: Sequence[Place]) -> str:
    if name in _HEX:
        return f"lower(hex({name})) AS {name}"
    apart = [item for item in own if map_name(item.scope, item.kind) == name]
    if not apart:
        return quoted(name)
    # A map is shown whole, whatever has a column of its own in some file.
    pairs = ", ".join(
        f"{{'key': '{_escaped(item.key)}', 'value': {quoted(item.column)}}}"
        for item in apart
    )
    return (
        f"map_from_entries(list_concat(map_entries({name}), list_filter([{pairs}], "
        f"lambda pair: pair.value IS NOT NULL))) AS {name}"
    )


def quoted(name: str) -> str:
    """Return a name as SQL writes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def _lock(engine: duckdb.DuckDBPyConnection, derived: Derived) -> None:
    paths = ", ".join(f"'{_escaped(file.path)}'" for file in derived.files)
    for line in (
        f"SET allowed_paths = [{paths}]",
        "SET enable_external_access = false",
        "SET python_enable_replacements = false",
        "SET lock_configuration = true",
    ):
        engine.execute(line)


def _escaped(path: object) -> str:
    return str(path).replace("'", "''")


def _explained(error: duckdb.Error) -> str:
    if isinstance(error, duckdb.InterruptException):
        return too_long(TIME_LIMIT_S)
    if isinstance(error, duckdb.OutOfMemoryException):
        return NO_MEMORY
    return f"the statement cannot be run: {error}"
