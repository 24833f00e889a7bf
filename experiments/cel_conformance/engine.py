"""What the per-span engine makes of a test of the suite.

Rules of this module:

* The engine is the one that judges spans (`sandbox.rules.cel`), here with the types,
  variables and extensions that a test asks for.
* Where the suite asks for a type only, it is asked whether the expression compiles; the
  types that the engine deduces are not compared.
* An error must come from evaluating, as the suite has it; an expression that is refused
  before is a difference.
"""

from __future__ import annotations

from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import (
    ext_bindings,
    ext_encoders,
    ext_math,
    ext_optional,
    ext_proto,
    ext_strings,
)
from google.protobuf import descriptor_pool

from experiments.cel_conformance.suite import Case
from experiments.cel_conformance.values import expected, given, python_value

_EXTENSIONS = (
    ext_bindings.ExtBindings,
    ext_encoders.ExtEncoders,
    ext_math.ExtMath,
    ext_optional.ExtOptional,
    ext_proto.ExtProto,
    ext_strings.ExtStrings,
)
_PRIMITIVES = {
    1: cel.Type.BOOL,
    2: cel.Type.INT,
    3: cel.Type.UINT,
    4: cel.Type.DOUBLE,
    5: cel.Type.STRING,
    6: cel.Type.BYTES,
}
_WELL_KNOWN = {1: cel.Type.DYN, 2: cel.Type.TIMESTAMP, 3: cel.Type.DURATION}


def difference(case: Case, pool: descriptor_pool.DescriptorPool) -> str:
    """Return how the engine differs from what a test expects; empty where it agrees.

    Args:
        case: One test.
        pool: Schema of the messages it speaks of.
    """
    try:
        program = _environment(case, pool).compile(
            case.test.expr, disable_check=case.test.disable_check
        )
    except (RuntimeError, ValueError) as error:
        return f"refused: {_first_line(error)}"
    if case.test.check_only:
        return ""
    data = _bindings(case, pool)
    try:
        found = program.eval(data=data)
        is_error = found.type() == cel.Type.ERROR
        content = str(found.value()) if is_error else ""
    except RuntimeError as error:
        return _on_error(case, _first_line(error))
    return _on_error(case, content) if is_error else _compared(case, found, pool)


def _environment(case: Case, pool: descriptor_pool.DescriptorPool) -> Any:
    variables = {
        declared.name: _type(declared.ident.type)
        for declared in case.test.type_env
        if declared.HasField("ident")
    }
    return cel.NewEnv(
        descriptor_pool=pool,
        variables=variables,
        extensions=[kind() for kind in _EXTENSIONS],
        container=case.test.container or None,
    )


def _type(kind: Any) -> Any:
    which = kind.WhichOneof("type_kind")
    if which == "primitive":
        return _PRIMITIVES[kind.primitive]
    if which == "well_known":
        return _WELL_KNOWN[kind.well_known]
    if which == "list_type":
        return cel.Type.List(_type(kind.list_type.elem_type))
    if which == "map_type":
        parts = kind.map_type
        return cel.Type.Map(_type(parts.key_type), _type(parts.value_type))
    if which == "message_type":
        return cel.Type(kind.message_type)
    if which == "null":
        return cel.Type.NULL
    if which == "dyn":
        return cel.Type.DYN
    raise ValueError(f"a variable of kind {which} cannot be declared")


def _bindings(case: Case, pool: descriptor_pool.DescriptorPool) -> dict[str, Any]:
    return {
        name: python_value(bound.value, pool)
        for name, bound in case.test.bindings.items()
    }


def _on_error(case: Case, message: str) -> str:
    if case.test.WhichOneof("result_matcher") in ("eval_error", "any_eval_errors"):
        return ""
    return f"error: {message}"


def _compared(case: Case, found: Any, pool: descriptor_pool.DescriptorPool) -> str:
    got = given(found)
    which = case.test.WhichOneof("result_matcher")
    if which is None:
        wanted = ("bool", True)
    elif which == "value":
        wanted = expected(case.test.value, pool)
    elif which == "typed_result":
        wanted = expected(case.test.typed_result.result, pool)
    else:
        return f"it gives {got}, and an error was expected"
    return "" if got == wanted else f"it gives {got}, not {wanted}"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].partition(" [")[0]
