"""CEL's operators and functions on typed values.

Rules of this module:

* Values of different kinds are unequal, and not ordered; a whole number and a
  floating-point number are compared as the engine does, as two floating-point numbers.
* NaN is unequal to everything and before and after nothing (IEEE 754), whatever the
  engine that runs the SQL thinks of it.
* What is known when the SQL is written is not left to the SQL where that is plain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from sandbox.query.dialects import SqlDialect
from sandbox.query.typed import (
    ERROR,
    FALSE,
    TRUE,
    Typed,
    ValueKind,
    boolean,
    defined,
    either,
    every,
    first_of,
    negated,
    where,
)
from sandbox.rules.cel import is_pattern

_ORDER = {"_<_": "<", "_<=_": "<=", "_>_": ">", "_>=_": ">="}
_NUMBERS: tuple[ValueKind, ...] = ("int", "double")


class Operands(NamedTuple):
    """What an operator is given."""

    sql: SqlDialect
    function: str
    values: Sequence[Typed]


def is_in(one: Typed, items: Sequence[Typed], dialect: SqlDialect) -> Typed:
    """Return whether a value equals one of a list, none of which is an error."""
    found = [equal(one, item, dialect) for item in items]
    truth = either(item or dialect.unknown() for item in found)
    guard = every(defined(item) for item in (one, *items))
    return boolean(where(guard, truth)).but([one, *items])


def equal(one: Typed, other: Typed, dialect: SqlDialect) -> str | None:
    """Return whether two values are equal; None where one is always an error."""
    if not one.kinds or not other.kinds:
        return None
    known = _known_equal(one, other)
    if known is not None:
        return known
    parts = _pairs("=", one, other, dialect)
    mixed = len(one.kinds) > 1 or len(other.kinds) > 1 or not parts
    if mixed:
        parts.append(where(every((defined(one), defined(other))), FALSE))
    return first_of(parts)


def _known_equal(one: Typed, other: Typed) -> str | None:
    if one.known is None or other.known is None:
        return None
    values = one.known.value, other.known.value
    if any(isinstance(item, float) for item in values):
        return None
    same = type(values[0]) is type(values[1]) and values[0] == values[1]
    return TRUE if same else FALSE


def _pairs(sign: str, one: Typed, other: Typed, dialect: SqlDialect) -> list[str]:
    """Return a comparison for every pair of kinds that can be compared."""
    found: list[str] = []
    finite = one.is_finite and other.is_finite
    for kind, sql in one.kinds.items():
        for kind_, sql_ in other.kinds.items():
            if kind == "null" and kind_ == "null" and sign == "=":
                found.append(TRUE)
            elif kind == kind_ == "double":
                found.append(_compared(sign, sql, sql_, None if finite else dialect))
            elif kind == kind_ and kind != "null":
                found.append(f"({sql} {sign} {sql_})")
            elif kind in _NUMBERS and kind_ in _NUMBERS:
                pair = _as_double(kind, sql, dialect), _as_double(kind_, sql_, dialect)
                found.append(_compared(sign, *pair, None if finite else dialect))
    return found


def _as_double(kind: ValueKind, sql: str, dialect: SqlDialect) -> str:
    return dialect.to_double(sql) if kind == "int" else sql


def _compared(sign: str, one: str, other: str, dialect: SqlDialect | None) -> str:
    plain = f"({one} {sign} {other})"
    if dialect is None:
        return plain
    nan = f"{dialect.is_nan(one)} OR {dialect.is_nan(other)}"
    return f"(CASE WHEN ({nan}) AND {plain} IS NOT NULL THEN FALSE ELSE {plain} END)"


def _equality(given: Operands) -> Typed:
    one, other = given.values
    truth = equal(one, other, given.sql)
    if truth is not None and given.function == "_!=_":
        truth = negated(truth)
    return boolean(truth)


def _ordering(given: Operands) -> Typed:
    one, other = given.values
    parts = _pairs(_ORDER[given.function], one, other, given.sql)
    return boolean(first_of(parts) if parts else None)


def _and(given: Operands) -> Typed:
    return boolean(every(item.truth or given.sql.unknown() for item in given.values))


def _or(given: Operands) -> Typed:
    return boolean(either(item.truth or given.sql.unknown() for item in given.values))


def _not(given: Operands) -> Typed:
    truth = given.values[0].truth
    return boolean(None if truth is None else negated(truth))


def _ternary(given: Operands) -> Typed:
    asked, one, other = given.values
    truth = asked.truth
    if truth is None:
        return ERROR
    if truth in (TRUE, FALSE):
        return one if truth == TRUE else other
    kinds: dict[ValueKind, str] = {}
    for kind in dict.fromkeys((*one.kinds, *other.kinds)):
        parts = ((truth, one.kinds.get(kind)), (negated(truth), other.kinds.get(kind)))
        cases = [f"WHEN {when} THEN {sql}" for when, sql in parts if sql]
        kinds[kind] = f"(CASE {' '.join(cases)} END)"
    return Typed(kinds, is_finite=one.is_finite and other.is_finite)


def _arithmetic(given: Operands) -> Typed:
    one, other = (item.kinds for item in given.values)
    kinds: dict[ValueKind, str] = {}
    if "int" in one and "int" in other:
        kinds["int"] = given.sql.whole(given.function, one["int"], other["int"])
    if "double" in one and "double" in other and given.function != "_%_":
        pair = one["double"], other["double"]
        kinds["double"] = given.sql.floating(given.function, *pair)
    if "string" in one and "string" in other and given.function == "_+_":
        kinds["string"] = given.sql.concatenated(one["string"], other["string"])
    return Typed(kinds, is_finite=False)


def _negative(given: Operands) -> Typed:
    of = given.values[0].kinds
    kinds: dict[ValueKind, str] = {}
    if "int" in of:
        kinds["int"] = given.sql.whole("_-_", given.sql.value(0), of["int"])
    if "double" in of:
        kinds["double"] = f"(-{of['double']})"
    return Typed(kinds, is_finite=given.values[0].is_finite)


def _text_test(given: Operands) -> Typed:
    text, part = (item.kinds.get("string") for item in given.values)
    if text is None or part is None:
        return ERROR
    one, other = (item.known for item in given.values)
    if one is not None and other is not None:
        return boolean(_known_test(given.function, str(one.value), str(other.value)))
    return boolean(given.sql.tested(given.function, text, part))


def _known_test(function: str, text: str, part: str) -> str:
    tests = {
        "startsWith": text.startswith(part),
        "endsWith": text.endswith(part),
        "contains": part in text,
    }
    return TRUE if tests[function] else FALSE


def _matches(given: Operands) -> Typed | str:
    text, pattern = given.values
    if pattern.known is None or not isinstance(pattern.known.value, str):
        return "a pattern is put into SQL where it is written in the expression"
    sql = text.kinds.get("string")
    if sql is None or not is_pattern(pattern.known.value):
        return ERROR
    return boolean(given.sql.matches(sql, pattern.known.value))


OPERATORS: dict[str, Callable[[Operands], Typed | str]] = {
    "_==_": _equality,
    "_!=_": _equality,
    **dict.fromkeys(_ORDER, _ordering),
    "_&&_": _and,
    "_||_": _or,
    "!_": _not,
    "_?_:_": _ternary,
    **dict.fromkeys(("_+_", "_-_", "_*_", "_/_", "_%_"), _arithmetic),
    "-_": _negative,
    **dict.fromkeys(("startsWith", "endsWith", "contains"), _text_test),
    "matches": _matches,
}
"""What each function of CEL gives, or the reason why it is outside of SQL."""
