"""One reading statement of a reviewer, run by chDB over the view `spans`.

Rules of this module:

* A statement is read by ClickHouse's own parser (`parseQueryToJSON`, which runs
  nothing) and refused unless it is one SELECT without settings, format or file to
  write, and with no table function but harmless ones.
* Functions that ClickHouse does not call deterministic are refused, wherever their name
  stands (`arrayMap(file, …)` calls `file` too): they read files, dictionaries, the
  machine, the network or the clock, and the same question must have the same answer.
* The tables that ClickHouse then resolves every name to must be `spans` alone.
* It runs in a process of its own with `readonly = 1`, in which nothing is created or
  set, and no table function opens a file or a connection.
"""

from __future__ import annotations

import json
import re
from typing import Any

from pydantic import JsonValue

from sandbox.adapters.spans_answers import (
    NOT_READING,
    Found,
    no_function,
    no_reading,
    no_table,
    nodes_of,
)
from sandbox.adapters.spans_chdb_process import ChdbProcess
from sandbox.adapters.spans_files import Derived
from sandbox.adapters.spans_folder import DerivedFile
from sandbox.errors import EvidenceError
from sandbox.query.clickhouse import (
    ClickHouseDialect,
    nothing_shown,
    shown_columns,
    structure_of,
    text,
)

_TABLE_FUNCTIONS = frozenset({"numbers", "generate_series", "generateseries"})
_FORBIDDEN_PARTS = {
    "out_file": "file to write",
    "format_ast": "format",
    "settings_ast": "settings",
    "settings": "settings",
}
_ALLOWED_ALTHOUGH = "arrayjoin"
_REFUSED_FUNCTIONS = (
    "SELECT lower(name) FROM system.functions WHERE NOT is_aggregate AND "
    "ifNull(deterministic, 0) = 0 OR alias_to IN (SELECT name FROM system.functions "
    "WHERE NOT is_aggregate AND ifNull(deterministic, 0) = 0)"
)
_TABLE = re.compile(r"^ *TABLE id: .*?table_name: (.*)$", re.MULTILINE)
_NO_TABLE = "system.one"
"""What a SELECT without FROM reads."""


def run_statement(
    statement: str, *, derived: Derived, limit: int, process: ChdbProcess
) -> Found:
    """Run one reading statement.

    Args:
        statement: What a reviewer asks, in ClickHouse's SQL.
        derived: What it is asked of.
        limit: The most rows to return.
        process: Used for nothing before, and for nothing afterwards.

    Raises:
        EvidenceError: It is not such a statement, or cannot be run; says why.
    """
    asked = _allowed(statement, process)
    _make_view(derived, process)
    process.run("SET readonly = 1")
    _check_tables(asked, process)
    whole = f"SELECT * FROM (\n{asked}\n) LIMIT {limit + 1}"
    lines = process.run(whole, "JSONCompactEachRowWithNames").splitlines()
    names, *rows = (_read(line) for line in lines)
    return Found(tuple(map(str, names)), tuple(rows[:limit]), len(rows) > limit)


def _allowed(statement: str, process: ChdbProcess) -> str:
    """Return a statement as ClickHouse writes it, if it may be asked."""
    given = ClickHouseDialect().value(statement)
    written = process.run(f"SELECT formatQuery({given})", "RawBLOB").decode()
    parsed = process.run(f"SELECT parseQueryToJSON({given})", "RawBLOB")
    tree = json.loads(parsed.decode(errors="surrogateescape"))
    if tree["type"] != "SelectWithUnionQuery":
        raise EvidenceError(NOT_READING)
    refused = set(process.run(_REFUSED_FUNCTIONS, "TSVRaw").decode().split())
    refused.discard(_ALLOWED_ALTHOUGH)
    for node in nodes_of(tree):
        _check_node(node, refused)
    return written


def _check_node(node: dict[str, Any], refused: set[str]) -> None:
    for part, what in _FORBIDDEN_PARTS.items():
        if part in node:
            raise EvidenceError(f"a statement has no {what}; leave it out")
    function = node.get("table_function")
    if isinstance(function, dict):
        name = str(function.get("name", ""))
        if name.lower() not in _TABLE_FUNCTIONS:
            raise no_reading(f"{name}(…)")
    for named in (node.get("name"), node.get("func_name")):
        if isinstance(named, str) and _is_refused(named, refused):
            raise no_function(named)


def _is_refused(name: str, refused: set[str]) -> bool:
    lower = name.lower()
    return lower in refused or lower.startswith("__")


def _check_tables(asked: str, process: ChdbProcess) -> None:
    """Refuse tables that only the engine sees, as in `x IN system.users`."""
    tree = process.run(f"EXPLAIN QUERY TREE {asked}", "TSVRaw").decode(errors="replace")
    for name in _TABLE.findall(tree):
        if name not in ("default.spans", _NO_TABLE):
            raise no_table(name)


def _make_view(derived: Derived, process: ChdbProcess) -> None:
    files = [file for file in derived.files if file.origin.spans]
    for number, file in enumerate(files):
        process.run(_table(number, file))
    parts = [
        f"SELECT {shown_columns(file.origin)} FROM derived_{number}"
        for number, file in enumerate(files)
    ]
    process.run(f"CREATE VIEW spans AS {' UNION ALL '.join(parts) or nothing_shown()}")


def _table(number: int, file: DerivedFile) -> str:
    columns = structure_of(file.origin)
    return (
        f"CREATE TABLE derived_{number} ({columns}) "
        f"ENGINE = File(Parquet, {text(file.path)})"
    )


def _read(line: bytes) -> tuple[JsonValue, ...]:
    values = json.loads(line.decode(errors="surrogateescape"))
    return tuple(_as_json(value) for value in values)


def _as_json(value: Any) -> JsonValue:
    """Return a value with bytes that are no text as hexadecimal digits."""
    if isinstance(value, str):
        data = value.encode(errors="surrogateescape")
        return value if _is_text(data) else data.hex()
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    if isinstance(value, dict):
        return {str(_as_json(key)): _as_json(item) for key, item in value.items()}
    found: JsonValue = value
    return found


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
