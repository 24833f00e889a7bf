"""The columns of a derived file, and where a span's attribute stands in them.

Rules of this module:

* Every file has the same core columns, in this order, none of them nullable, so that no
  engine has to infer anything.
* An attribute keeps its type: there is one map for each of OTLP's plain types. What is
  of none of them (bytes, lists, maps, no value at all) stands in the map `other`, as
  OTLP/JSON of its AnyValue (OTLP specification, JSON Protobuf Encoding).
* Identifiers are bytes of any length: the recorder keeps what came, and so does this.
* An attribute may have a column of its own; it then does not stand in its map.
* No two columns have names that differ in ASCII case only: DuckDB takes them for one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

import pyarrow as pa

Scope = Literal["attributes", "resource"]
Kind = Literal["string", "int", "double", "bool", "other"]

SCOPES: tuple[Scope, ...] = ("attributes", "resource")
PLAIN: tuple[Kind, ...] = ("string", "int", "double", "bool")
"""Types that are compared; `other` is only looked for."""
KINDS: tuple[Kind, ...] = (*PLAIN, "other")
TYPES: dict[Kind, pa.DataType] = {
    "string": pa.string(),
    "int": pa.int64(),
    "double": pa.float64(),
    "bool": pa.bool_(),
    "other": pa.string(),
}
ORDER = ("start_ns", "trace_id", "span_id", "segment", "frame", "number")
"""In which order spans lie in a file, and come in an answer."""
RULE_PREFIX = "rule:"

_MARKED = re.compile(r"[A-Z^]")

_SCALARS: tuple[tuple[str, pa.DataType], ...] = (
    ("trace_id", pa.binary()),
    ("span_id", pa.binary()),
    ("parent_span_id", pa.binary()),
    ("name", pa.string()),
    ("kind", pa.string()),
    ("service", pa.string()),
    ("status", pa.string()),
    ("status_message", pa.string()),
    ("scope", pa.string()),
    ("trace_state", pa.string()),
    ("flags", pa.uint32()),
    ("start_ns", pa.uint64()),
    ("end_ns", pa.uint64()),
    ("events", pa.string()),
    ("links", pa.string()),
    ("verdicts", pa.string()),
    ("producer", pa.string()),
    ("received_at", pa.timestamp("us")),
    ("segment", pa.int32()),
    ("frame", pa.int32()),
    ("number", pa.int32()),
)


class Place(NamedTuple):
    """Where an attribute of one type stands: `key` in the map of that type."""

    scope: Scope
    kind: Kind
    key: str

    @property
    def column(self) -> str:
        """Name of its own column, in files that have one.

        A `^` marks capital letters and itself, so that names stay apart without case.
        """
        key = _MARKED.sub(r"^\g<0>", self.key)
        return f"{map_name(self.scope, self.kind)}:{key}"


def map_name(scope: Scope, kind: Kind) -> str:
    """Return the name of the map that holds attributes of one type."""
    return f"{scope}_{kind}"


def map_type(kind: Kind) -> pa.DataType:
    """Return the Arrow type of such a map."""
    return pa.map_(pa.string(), pa.field("value", TYPES[kind], nullable=False))


def shown_names(places: Sequence[Place]) -> list[str]:
    """Return under which names the view shows attributes that have columns.

    They are shown under their keys, unless some differ in case only.
    """
    names = [f"{map_name(item.scope, item.kind)}:{item.key}" for item in places]
    if len({name.lower() for name in names}) < len(names):
        return [item.column for item in places]
    return names


def rule_column(rule: str) -> str:
    """Return the name of the column that holds what a rule says."""
    return RULE_PREFIX + rule


def core_schema(rules: tuple[str, ...]) -> pa.Schema:
    """Return the columns every derived file of these rules has.

    Args:
        rules: Names of the rules; each has a column, null where it does not apply.
    """
    fields = [pa.field(name, kind, nullable=False) for name, kind in _SCALARS]
    fields += [
        pa.field(map_name(scope, kind), map_type(kind), nullable=False)
        for scope in SCOPES
        for kind in KINDS
    ]
    fields += [pa.field(rule_column(rule), pa.string()) for rule in rules]
    return pa.schema(fields)
