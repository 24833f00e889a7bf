"""The messages in which the CEL engine gives an expression that it has checked.

Rules of this module:

* Only the fields that are read here are declared; the numbers are those of
  `cel/expr/checked.proto` and `cel/expr/syntax.proto` (cel.dev, Apache-2.0). A reader
  of protobuf passes over the others.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.any_pb2 import Any as AnyMessage

_Field = descriptor_pb2.FieldDescriptorProto
_PLAIN = {
    "bool": _Field.TYPE_BOOL,
    "bytes": _Field.TYPE_BYTES,
    "double": _Field.TYPE_DOUBLE,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "string": _Field.TYPE_STRING,
    "uint64": _Field.TYPE_UINT64,
}
_PACKAGE = "sandbox.cel"
# A map is a list of entries on the wire. Alternatives are told apart by presence.
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "CheckedExpr": {"source_info": (5, "SourceInfo"), "expr": (4, "Expr")},
    "SourceInfo": {
        "line_offsets": (3, "*int32"),
        "positions": (4, "*Position"),
    },
    "Position": {"key": (1, "int64"), "value": (2, "int32")},
    "Expr": {
        "id": (2, "int64"),
        "const_expr": (3, "Constant"),
        "ident_expr": (4, "Ident"),
        "select_expr": (5, "Select"),
        "call_expr": (6, "Call"),
        "list_expr": (7, "CreateList"),
        "struct_expr": (8, "CreateStruct"),
        "comprehension_expr": (9, "Comprehension"),
    },
    "Constant": {
        "null_value": (1, "int64"),
        "bool_value": (2, "bool"),
        "int64_value": (3, "int64"),
        "uint64_value": (4, "uint64"),
        "double_value": (5, "double"),
        "string_value": (6, "string"),
        "bytes_value": (7, "bytes"),
    },
    "Ident": {"name": (1, "string")},
    "Select": {
        "operand": (1, "Expr"),
        "field": (2, "string"),
        "test_only": (3, "bool"),
    },
    "Call": {"target": (1, "Expr"), "function": (2, "string"), "args": (3, "*Expr")},
    "CreateList": {"elements": (1, "*Expr")},
    "CreateStruct": {"message_name": (1, "string")},
    "Comprehension": {
        "iter_var": (1, "string"),
        "iter_range": (2, "Expr"),
        "accu_var": (3, "string"),
        "accu_init": (4, "Expr"),
        "loop_condition": (5, "Expr"),
        "loop_step": (6, "Expr"),
        "result": (7, "Expr"),
    },
}


def read_checked(data: bytes) -> Any:
    """Return the `CheckedExpr` that a compiled expression was written as.

    Args:
        data: A `google.protobuf.Any` that holds it.
    """
    return _CHECKED.FromString(AnyMessage.FromString(data).value)


def _declared() -> descriptor_pb2.FileDescriptorProto:
    # proto2 keeps whether a field of a plain type is there.
    file = descriptor_pb2.FileDescriptorProto(
        name="sandbox/cel.proto", package=_PACKAGE, syntax="proto2"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            _declare(message.field.add(name=field, number=number), kind)
    return file


def _declare(field: descriptor_pb2.FieldDescriptorProto, kind: str) -> None:
    field.label = _Field.LABEL_REPEATED if kind[0] == "*" else _Field.LABEL_OPTIONAL
    kind = kind.lstrip("*")
    if kind in _PLAIN:
        field.type = _PLAIN[kind]
    else:
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"


def _checked_class() -> Any:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_declared())
    found = pool.FindMessageTypeByName(f"{_PACKAGE}.CheckedExpr")
    return message_factory.GetMessageClass(found)


_CHECKED = _checked_class()
