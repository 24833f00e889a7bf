"""Which statements of a reviewer DuckDB may run.

Rules of this module:

* A statement is read by DuckDB's own parser before it is run. It is refused unless it
  is one SELECT that names no table but `spans` and its own common table expressions,
  whose names are compared without regard to case, as DuckDB does. They may not be
  called as one of DuckDB's own views, which would be read where theirs is not seen.
* Of other references to tables only harmless ones are known; SHOW is not.
* Functions that DuckDB does not call consistent are refused, with what is written by
  them, and so are samples: they ask chance, the clock or the machine, and the same
  question must have the same answer.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from typing import Any

import duckdb

from sandbox.adapters.spans_answers import (
    NOT_READING,
    no_function,
    no_reading,
    no_table,
    nodes_of,
)
from sandbox.errors import EvidenceError

_TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest"})
_REFERENCES = frozenset(
    {"BASE_TABLE", "EMPTY", "EXPRESSION_LIST", "JOIN", "PIVOT", "SUBQUERY"}
)
_SHOWING = "SHOW, DESCRIBE, SUMMARIZE"
_ALLOWED_ALTHOUGH = "error"
"""It gives no value; some of DuckDB's macros are written with it."""
_WORDS = frozenset(
    {
        "current_catalog",
        "current_date",
        "current_schema",
        "current_time",
        "current_timestamp",
        "localtime",
        "localtimestamp",
    }
)
"""Functions that are called without parentheses, as a column is named."""
_CALLED_CONSISTENT = frozenset({"current_localtime", "current_localtimestamp"})
"""What DuckDB calls consistent although it reads the clock."""


def allowed(statement: str, engine: duckdb.DuckDBPyConnection) -> str:
    """Return a statement as DuckDB may run it.

    Args:
        statement: What a reviewer asks.
        engine: Reads it; nothing was created there yet.

    Raises:
        EvidenceError: It may not be asked; says what of it, and why.
    """
    try:
        parsed = engine.extract_statements(statement)
    except duckdb.Error as error:
        raise EvidenceError(f"the statement cannot be read: {error}") from error
    if len(parsed) != 1 or parsed[0].type != duckdb.StatementType.SELECT:
        raise EvidenceError(NOT_READING)
    text = str(parsed[0].query).strip().rstrip(";")
    tree = _tree(text, engine)
    if tree["error"]:
        raise EvidenceError(f"the statement is not a SELECT: {tree['error_message']}")
    nodes = list(nodes_of(tree))
    _check_tables(nodes, engine)
    for node in nodes:
        named = _refused_in(node, _refused_functions())
        if named:
            raise no_function(named)
        if node.get("sample"):
            raise no_function("SAMPLE")
    return text


def _tree(text: str, engine: duckdb.DuckDBPyConnection) -> Any:
    row = engine.execute("SELECT json_serialize_sql(?::VARCHAR)", [text]).fetchone()
    return json.loads(row[0]) if row else {"error": True, "error_message": "nothing"}


def _check_tables(
    nodes: Iterable[Mapping[str, Any]], engine: duckdb.DuckDBPyConnection
) -> None:
    readable = {"spans"} | {item for node in nodes for item in _tables_of(node)}
    views = engine.execute("SELECT lower(view_name) FROM duckdb_views()").fetchall()
    readable -= {name for (name,) in views}
    for node in nodes:
        kind = node.get("type")
        if kind == "TABLE_FUNCTION":
            name = str(node["function"].get("function_name", "")).lower()
            if name not in _TABLE_FUNCTIONS:
                raise no_reading(f"{name}(…)")
        elif kind == "BASE_TABLE":
            elsewhere = node.get("schema_name") or node.get("catalog_name")
            named = str(node.get("table_name", ""))
            if elsewhere or named.lower() not in readable:
                raise no_table(named)
        elif _is_reference(node) and kind not in _REFERENCES:
            raise no_reading(_SHOWING if kind == "SHOW_REF" else str(kind))


def _is_reference(node: Mapping[str, Any]) -> bool:
    # Only references to tables have both, as the parser writes them.
    return "alias" in node and "sample" in node


def _tables_of(node: Mapping[str, Any]) -> list[str]:
    found = node.get("cte_map")
    items = found.get("map", ()) if isinstance(found, Mapping) else ()
    return [str(item["key"]).lower() for item in items]


def _refused_in(node: Mapping[str, Any], refused: frozenset[str]) -> str:
    """Return what a node asks that may not be asked; empty where nothing."""
    columns = node.get("column_names")
    if isinstance(columns, list) and len(columns) == 1:
        name = str(columns[0])
        return name if name.lower() in _WORDS else ""
    name = str(node.get("function_name", ""))
    # With one time, `age` is reckoned from today.
    is_from_today = name == "age" and len(node.get("arguments", ())) == 1
    return name if name.lower() in refused or is_from_today else ""


@functools.cache
def _refused_functions() -> frozenset[str]:
    """Return what may not be called, with the macros that are written by it."""
    with duckdb.connect(":memory:") as engine:
        found = engine.execute(
            "SELECT DISTINCT function_name FROM duckdb_functions() "
            "WHERE stability <> 'CONSISTENT'"
        ).fetchall()
        macros = engine.execute(
            "SELECT function_name, json_serialize_sql('SELECT ' || macro_definition) "
            "FROM duckdb_functions() WHERE function_type = 'macro'"
        ).fetchall()
    trees = [(name, json.loads(written)) for name, written in macros]
    names = {name for (name,) in found} | _WORDS | _CALLED_CONSISTENT
    refused = frozenset(names - {_ALLOWED_ALTHOUGH})
    while more := {name for name, tree in trees if _asks(tree, refused)} - refused:
        refused |= more
    return refused


def _asks(tree: Any, refused: frozenset[str]) -> bool:
    """Return whether a macro asks what may not be asked, or reads a table."""
    return any(
        _refused_in(node, refused) or node.get("type") == "TABLE_FUNCTION"
        for node in nodes_of(tree)
    )
