"""A question as ClickHouse's SQL writes it, and the columns of a file in its types.

Rules of this module:

* Text of a question never becomes SQL: it is written as the hexadecimal digits of its
  UTF-8, and a floating-point number as those of its bits, so that it stays exact.
* Types are pinned from `sandbox.query.columns`, never inferred: ClickHouse takes every
  column of a Parquet file for Nullable, and NULL hides what a condition should find.
* Identifiers of spans are `String`: they are bytes of any length.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from sandbox.query.columns import Place, core_schema, map_name, shown_names
from sandbox.query.origin import Origin

DURATION = "(toFloat64(toInt128(end_ns) - toInt128(start_ns)) / 1e9)"
"""A span's duration in seconds, as `Span.duration_s` has it."""
_TYPES = {
    pa.string(): "String",
    pa.binary(): "String",
    pa.bool_(): "Bool",
    pa.int32(): "Int32",
    pa.int64(): "Int64",
    pa.uint32(): "UInt32",
    pa.uint64(): "UInt64",
    pa.float64(): "Float64",
    pa.timestamp("us"): "DateTime64(6, 'UTC')",
}
_KINDS = {"string": "String", "int": "Int64", "double": "Float64", "bool": "Bool"}
_HEX = ("trace_id", "span_id", "parent_span_id")
_STARTED_AT = (
    "if(start_ns < 9223372036854775808, "
    "toNullable(fromUnixTimestamp64Nano(toInt64(start_ns), 'UTC')), NULL)"
)
_COMPUTED = {"duration_s": DURATION, "started_at": _STARTED_AT}


class ClickHouseDialect:
    """Writes conditions for ClickHouse; values are literals that hold no text."""

    def name(self, column: str) -> str:
        """Return a column's name, quoted."""
        return quoted(column)

    def value(self, value: str | int | float | bool | bytes) -> str:
        """Return a literal of the value's own type."""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int):
            return f"to{'UInt64' if value >= 2**63 else 'Int64'}('{value}')"
        if isinstance(value, float):
            bits = struct.pack("<d", value).hex()
            return f"reinterpretAsFloat64(unhex('{bits}'))"
        data = value.encode() if isinstance(value, str) else value
        return f"unhex('{data.hex()}')"

    def duration(self) -> str:
        """Return a span's duration in seconds, exact to the nanosecond."""
        return DURATION

    def has(self, column: str, key: str) -> str:
        """Return whether a map has a key."""
        return f"mapContains({column}, {self.value(key)})"

    def holds(self, column: str, key: str, value: Any) -> str:
        """Return whether a map has a key with that value.

        A map gives a default for a key it does not have, so both are asked.
        """
        there = self.has(column, key)
        return f"({there} AND {column}[{self.value(key)}] = {self.value(value)})"


def quoted(name: str) -> str:
    """Return a name as SQL writes it, whatever is in it."""
    return f'"{_escaped(name, quote=chr(34))}"'


def text(value: object) -> str:
    """Return a text literal, where ClickHouse takes no expression."""
    return f"'{_escaped(str(value), quote=chr(39))}'"


def structure_of(origin: Origin) -> str:
    """Return the columns of a derived file with their types, as ClickHouse reads them.

    Args:
        origin: What the file says of itself.
    """
    fields = [(field.name, _type_of(field)) for field in core_schema(origin.rules)]
    fields += [
        (place.column, f"Nullable({_KINDS[place.kind]})") for place in origin.own
    ]
    return ", ".join(f"{quoted(name)} {kind}" for name, kind in fields)


def source_of(path: object, origin: Origin) -> str:
    """Return the table function that reads a derived file.

    Args:
        path: Where it lies.
        origin: What it says of itself.
    """
    return f"file({text(path)}, 'Parquet', {text(structure_of(origin))})"


def shown_columns(origin: Origin) -> str:
    """Return what the view `spans` selects from one derived file.

    Args:
        origin: What the file says of itself.
    """
    columns = [_shown(name, origin.own) for name in core_schema(origin.rules).names]
    columns += [
        f"{quoted(place.column)} AS {quoted(name)}"
        for place, name in zip(
            origin.promoted, shown_names(origin.promoted), strict=True
        )
    ]
    columns += [f"{written} AS {name}" for name, written in _COMPUTED.items()]
    return ", ".join(columns)


def nothing_shown() -> str:
    """Return a statement with the columns of the view `spans` and no row."""
    columns = [
        f"CAST(defaultValueOfTypeName({text(_type_of(field))}), "
        f"{text(_type_of(field))}) AS {quoted(field.name)}"
        for field in core_schema(())
    ]
    columns += [f"NULL AS {name}" for name in _COMPUTED]
    return f"SELECT {', '.join(columns)} WHERE 0"


def _type_of(field: pa.Field) -> str:
    if pa.types.is_map(field.type):
        return f"Map(String, {_TYPES[field.type.item_type]})"
    plain = _TYPES[field.type]
    return f"Nullable({plain})" if field.nullable else plain


def _shown(name: str, own: Iterable[Place]) -> str:
    if name in _HEX:
        return f"lower(hex({name})) AS {name}"
    apart = [item for item in own if map_name(item.scope, item.kind) == name]
    if not apart:
        return quoted(name)
    # A map is shown whole, whatever has a column of its own in this file.
    pairs = ", ".join(f"({text(item.key)}, {quoted(item.column)})" for item in apart)
    there = f"arrayFilter(pair -> isNotNull(pair.2), [{pairs}])"
    plain = f"arrayMap(pair -> (pair.1, assumeNotNull(pair.2)), {there})"
    kind = f"Map(String, {_KINDS[apart[0].kind]})"
    return f"mapConcat({name}, CAST({plain}, '{kind}')) AS {name}"


def _escaped(value: str, *, quote: str) -> str:
    value = value.replace("\\", "\\\\").replace(quote, "\\" + quote)
    return value.replace("\0", "\\0")
