"""The `.proto` that another reader is given, against the installed descriptors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from sandbox.query.flat_proto import AS_BYTES, REQUEST, flat_proto, oneof_type

_LINE = re.compile(r"^ *(repeated )?(\w+) (\w+) = (\d+);$")


def _read(text: str) -> descriptor_pb2.FileDescriptorProto:
    """Return what a `.proto` text declares, as protobuf describes it."""
    file = descriptor_pb2.FileDescriptorProto(name="flat.proto", syntax="proto3")
    message = file.message_type.add()
    oneof = None
    for line in text.splitlines()[1:]:
        if line.startswith("message "):
            message = file.message_type.add(name=line.split()[1])
        elif line.strip().startswith("oneof "):
            message.oneof_decl.add(name=line.split()[1])
            oneof = len(message.oneof_decl) - 1
        elif match := _LINE.match(line):
            field = message.field.add(name=match[3], number=int(match[4]))
            field.label = 3 if match[1] else 1
            scalar = getattr(FieldDescriptor, f"TYPE_{match[2].upper()}", None)
            field.type = scalar or FieldDescriptor.TYPE_MESSAGE
            if not scalar:
                field.type_name = f".{match[2]}"
            if oneof is not None:
                field.oneof_index = oneof
        elif line.strip() == "}":
            oneof = None
    del file.message_type[0]
    return file


def _flat_request() -> Any:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_read(flat_proto()))
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(REQUEST))


def test_as_the_descriptors_say() -> None:
    """Every field of every message has its number, type, label and oneof."""
    pairs = [(ExportTraceServiceRequest.DESCRIPTOR, _flat_request().DESCRIPTOR)]
    seen: set[str] = set()
    while pairs:
        ours, flat = pairs.pop()
        if ours.full_name not in seen:
            seen.add(ours.full_name)
            assert list(_facts(flat)) == list(_facts(ours)), ours.full_name
            pairs += [
                (field.message_type, flat.fields_by_name[field.name].message_type)
                for field in ours.fields
                if field.message_type and _name(field) not in AS_BYTES
            ]
    assert {"Span", "KeyValue", "AnyValue", "Status"} < {
        name.rsplit(".", 1)[1] for name in seen
    }


def _name(field: Any) -> str:
    return f"{field.containing_type.name}.{field.name}"


def _facts(descriptor: Any) -> Iterator[tuple[Any, ...]]:
    for field in sorted(descriptor.fields, key=lambda item: item.number):
        kind = field.type
        if kind == FieldDescriptor.TYPE_ENUM:
            kind = FieldDescriptor.TYPE_INT32
        if _name(field) in AS_BYTES:
            kind = FieldDescriptor.TYPE_BYTES
        oneof = field.containing_oneof.name if field.containing_oneof else ""
        yield field.name, field.number, kind, field.is_repeated, oneof


def test_the_same_on_the_wire() -> None:
    """A request with every kind of value is read whole and written back the same."""
    request = ExportTraceServiceRequest()
    batch = request.resource_spans.add(schema_url="s")
    batch.resource.attributes.add(key="service.name").value.string_value = "api"
    span = batch.scope_spans.add().spans.add(
        trace_id=b"t", span_id=b"s", name="n", kind=2, flags=257
    )
    span.status.code = 2
    for number, (field, value) in enumerate(
        {
            "string_value": "",
            "bool_value": False,
            "int_value": -1,
            "double_value": 0.5,
            "bytes_value": b"\0",
        }.items()
    ):
        setattr(span.attributes.add(key=str(number)).value, field, value)
    nested = span.attributes.add(key="deep").value.array_value.values.add()
    nested.kvlist_value.values.add(key="k").value.int_value = 1
    span.events.add(name="e").attributes.add(key="k").value.SetInParent()
    span.links.add(trace_id=b"t", flags=1)
    data = request.SerializeToString(deterministic=True)
    flat = _flat_request().FromString(data)
    flat.DiscardUnknownFields()
    assert flat.SerializeToString(deterministic=True) == data


def test_which_field_is_set() -> None:
    """The type of a oneof names its fields by their numbers; none of them is 0."""
    found = oneof_type(AnyValue.DESCRIPTOR, "value")
    assert found.startswith("Enum8('' = 0, 'string_value' = 1, 'bool_value' = 2, ")
    assert "'bytes_value' = 7" in found
