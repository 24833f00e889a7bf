"""Values of the suite (`cel.expr.Value`) and of the engine, made comparable.

Rules of this module:

* A value becomes a pair of its CEL type and its content, so that 1, 1u and 1.0 differ.
* Equality is that of the suite: maps have no order, and NaN matches NaN.
* What stands in an `Any` and is a wrapper or another well-known type is the value that
  it wraps (CEL specification, dynamic values).
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from cel_expr_python import cel
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message

Plain = tuple[str, Any]
"""CEL type and content; of a list its items, of a map its sorted pairs."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)
"""Python holds no shorter time, so what is finer is not compared."""
_NAMES = {
    kind.name(): kind.name().lower()
    for kind in (
        cel.Type.BOOL,
        cel.Type.INT,
        cel.Type.UINT,
        cel.Type.DOUBLE,
        cel.Type.STRING,
        cel.Type.BYTES,
        cel.Type.TIMESTAMP,
        cel.Type.DURATION,
    )
} | {cel.Type.NULL.name(): "null"}
_TYPE_NAMES = {
    "NULL": "null_type",
    "TIMESTAMP": "google.protobuf.Timestamp",
    "DURATION": "google.protobuf.Duration",
}
_SCALARS = {
    "bool_value": "bool",
    "int64_value": "int",
    "uint64_value": "uint",
    "double_value": "double",
    "string_value": "string",
    "bytes_value": "bytes",
    "type_value": "type",
}
_WRAPPERS = {
    "google.protobuf.BoolValue": "bool",
    "google.protobuf.Int32Value": "int",
    "google.protobuf.Int64Value": "int",
    "google.protobuf.UInt32Value": "uint",
    "google.protobuf.UInt64Value": "uint",
    "google.protobuf.FloatValue": "double",
    "google.protobuf.DoubleValue": "double",
    "google.protobuf.StringValue": "string",
    "google.protobuf.BytesValue": "bytes",
}


def expected(value: Any, pool: descriptor_pool.DescriptorPool) -> Plain:
    """Return a `cel.expr.Value` in comparable form.

    Raises:
        ValueError: It is of a kind that is not compared here.
    """
    kind = value.WhichOneof("kind")
    if kind in _SCALARS:
        return _scalar(_SCALARS[kind], getattr(value, kind))
    if kind == "null_value":
        return "null", None
    if kind == "enum_value":
        return "int", value.enum_value.value
    if kind == "list_value":
        return "list", tuple(expected(item, pool) for item in value.list_value.values)
    if kind == "map_value":
        pairs = value.map_value.entries
        return _map([(expected(p.key, pool), expected(p.value, pool)) for p in pairs])
    if kind == "object_value":
        return _message(_unpacked(value.object_value, pool))
    raise ValueError(f"values of kind {kind} are not compared")


def given(value: Any) -> Plain:
    """Return a value of the engine in comparable form.

    Raises:
        ValueError: It is of a kind that is not compared here.
    """
    kind, content = value.type(), value.value()
    if isinstance(content, list):
        return "list", tuple(given(item) for item in content)
    if isinstance(content, dict):
        pairs = [(_key(key), given(item)) for key, item in content.items()]
        return _map(pairs)
    if isinstance(content, Message):
        return _message(content)
    if isinstance(content, cel.Type):
        return "type", type_name(content)
    name = _NAMES.get(kind.name(), "")
    if name == "timestamp":
        return name, (content - _EPOCH) // _TICK
    if name == "duration":
        return name, content // _TICK
    if name:
        return _scalar(name, content)
    raise ValueError(f"values of type {kind.name()} are not compared")


def python_value(value: Any, pool: descriptor_pool.DescriptorPool) -> Any:
    """Return a `cel.expr.Value` as Python gives it to the engine."""
    kind = value.WhichOneof("kind")
    if kind == "list_value":
        return [python_value(item, pool) for item in value.list_value.values]
    if kind == "map_value":
        return {
            python_value(pair.key, pool): python_value(pair.value, pool)
            for pair in value.map_value.entries
        }
    if kind == "object_value":
        return _unpacked(value.object_value, pool)
    if kind == "null_value":
        return None
    if kind == "enum_value":
        return value.enum_value.value
    return getattr(value, kind)


def type_name(kind: Any) -> str:
    """Return the name of an engine's type as the suite writes it."""
    name = str(kind.name()).partition("<")[0]
    return _TYPE_NAMES.get(name, name.lower() if "." not in name else name)


def _scalar(kind: str, content: Any) -> Plain:
    if kind == "double" and math.isnan(content):
        return kind, "NaN"
    if kind == "bytes":
        return kind, bytes(content)
    return kind, content


def _key(key: Any) -> Plain:
    names = {bool: "bool", int: "int", str: "string"}
    return names[type(key)], key


def _map(pairs: list[tuple[Plain, Plain]]) -> Plain:
    return "map", tuple(sorted(pairs, key=repr))


def _unpacked(anything: Any, pool: descriptor_pool.DescriptorPool) -> Message:
    name = anything.type_url.rpartition("/")[2]
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
    message = kind.FromString(anything.value)
    return _unpacked(message, pool) if name == "google.protobuf.Any" else message


def _message(message: Any) -> Plain:
    name = message.DESCRIPTOR.full_name
    if name in _WRAPPERS:
        return _scalar(_WRAPPERS[name], message.value)
    if name in ("google.protobuf.Timestamp", "google.protobuf.Duration"):
        kind = name.rpartition(".")[2].lower()
        return kind, int(message.seconds) * 1_000_000 + int(message.nanos / 1000)
    return name, message.SerializeToString(deterministic=True)
