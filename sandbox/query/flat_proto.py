"""OTLP's trace messages as one `.proto` text, generated from the installed descriptors.

Rules of this module:

* Every field of every message is there with its number, type and oneof, as the
  installed `opentelemetry-proto` has it: what is left out would be skipped in silence.
* Two fields are declared `bytes` instead of messages, which are the same on the wire:
  `array_value` and `kvlist_value` of `AnyValue`, whose nesting has no end.
* Messages keep their short names; the file imports nothing (ClickHouse looks imports up
  beside it).
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

REQUEST = "ExportTraceServiceRequest"
"""Name of the message that is a request."""
AS_BYTES = frozenset({"AnyValue.array_value", "AnyValue.kvlist_value"})
_SCALARS = {
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_UINT64: "uint64",
    FieldDescriptor.TYPE_FIXED32: "fixed32",
    FieldDescriptor.TYPE_FIXED64: "fixed64",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
    # An open enum is its number on the wire, whatever names this version knows.
    FieldDescriptor.TYPE_ENUM: "int32",
}


def flat_proto() -> str:
    """Return the text of the `.proto` file, in proto3."""
    messages = (_message(item) for item in _reachable(ExportTraceServiceRequest))
    return "\n".join(['syntax = "proto3";', *messages])


def oneof_type(descriptor: Any, oneof: str) -> str:
    """Return ClickHouse's type for which field of a oneof is set.

    Args:
        descriptor: Of the message the oneof belongs to.
        oneof: Its name.
    """
    fields = descriptor.oneofs_by_name[oneof].fields
    names = ", ".join(f"'{field.name}' = {field.number}" for field in fields)
    return f"Enum8('' = 0, {names})"


def _reachable(message: Any) -> list[Any]:
    """Return the descriptors of a message and of all it is made of, each once."""
    found: dict[str, Any] = {}
    waiting = [message.DESCRIPTOR]
    while waiting:
        descriptor = waiting.pop()
        if descriptor.name not in found:
            found[descriptor.name] = descriptor
            waiting.extend(
                field.message_type
                for field in descriptor.fields
                if field.message_type and not _is_bytes(field)
            )
    return list(found.values())


def _message(descriptor: Any) -> str:
    lines = [f"message {descriptor.name} {{"]
    lines += [f"  {_field(item)}" for item in descriptor.fields if _is_free(item)]
    for oneof in descriptor.oneofs:
        lines += [f"  oneof {oneof.name} {{"]
        lines += [f"    {_field(item)}" for item in oneof.fields]
        lines += ["  }"]
    return "\n".join([*lines, "}", ""])


def _field(field: Any) -> str:
    kind = "bytes" if _is_bytes(field) else _type(field)
    repeated = "repeated " if field.is_repeated else ""
    return f"{repeated}{kind} {field.name} = {field.number};"


def _type(field: Any) -> str:
    return str(field.message_type.name) if field.message_type else _SCALARS[field.type]


def _is_free(field: Any) -> bool:
    return field.containing_oneof is None


def _is_bytes(field: Any) -> bool:
    return f"{field.containing_type.name}.{field.name}" in AS_BYTES
