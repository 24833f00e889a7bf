"""CEL's conversions, and its instants and lengths of time, on typed values.

Rules of this module:

* Instants and lengths are whole nanoseconds, instants since 1970 UTC, in 64 bits: from
  1678 to 2261. Beyond, SQL is unsure.
* Text is converted where it is plain: written in the expression, a whole number of at
  most 18 digits, an instant of the usual form. Other text of an attribute is left to
  the engine that judges span by span.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from sandbox.query.dialects import SqlDialect
from sandbox.query.operators import Operands
from sandbox.query.typed import Typed, ValueKind, where

_WHOLE = "^-?[0-9]{1,18}$"
_INSTANT = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:[0-5]\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.ASCII
)
_LENGTH = re.compile(r"(\d+)(?:\.(\d+))?(h|ms|us|ns|m|s)", re.ASCII)
_DATE = (
    "(?:19|2[01])[0-9]{2}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])"
    "|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
)
_ZONE = "[+-](?:0[0-9]|1[0-4]):[0-5][0-9]"
_PLAIN_INSTANT = (
    f"^{_DATE}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
    f"(?:\\.[0-9]{{1,9}})?(?:Z|{_ZONE})$"
)
"""RFC 3339 in capitals, from 1900 to 2199, without the 29th of February."""
_UNITS = {
    "h": 3600 * 10**9,
    "m": 60 * 10**9,
    "s": 10**9,
    "ms": 10**6,
    "us": 10**3,
    "ns": 1,
}
_RANGE = range(-(2**63), 2**63)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 10**9


def instant_ns(text: str) -> int | None:
    """Return an instant as nanoseconds since 1970; None where it is not plain.

    Args:
        text: RFC 3339, with at most nine digits of a second.
    """
    found = _INSTANT.fullmatch(text)
    if found is None:
        return None
    try:
        whole = datetime.fromisoformat(found[1] + found[3].replace("Z", "+00:00"))
    except ValueError:
        return None
    seconds = (whole - _EPOCH) // timedelta(seconds=1)
    ns = seconds * _SECOND + int((found[2] or "").ljust(9, "0"))
    return ns if ns in _RANGE else None


def length_ns(text: str) -> int | None:
    """Return a length of time as nanoseconds; None where it is not plain.

    Args:
        text: Numbers with units, such as `1h30m` or `-1.5s`.
    """
    body = text.removeprefix("-")
    parts = list(_LENGTH.finditer(body))
    if not parts or "".join(part[0] for part in parts) != body:
        return None
    total = 0
    for whole, fraction, unit in (part.groups() for part in parts):
        digits = fraction or ""
        value, rest = divmod(int(whole + digits) * _UNITS[unit], 10 ** len(digits))
        if rest:
            return None
        total += value
    return (-total if body != text else total) if total in _RANGE else None


def _to_int(given: Operands) -> Typed:
    of, sql = given.values[0].kinds, given.sql
    parts: list[str] = []
    if "int" in of:
        parts.append(of["int"])
    if "double" in of:
        number = of["double"]
        least, most = sql.value(-(2.0**63)), sql.value(2.0**63)
        within = f"{number} > {least} AND {number} < {most}"
        parts.append(where(within, sql.to_int(number)))
    if "bool" in of:
        parts.append(_cases(of["bool"], sql.value(1), sql.value(0)))
    unsure = _left(of, "timestamp", "duration")
    if "string" in of:
        plain = sql.matches(of["string"], _WHOLE)
        parts.append(where(plain, sql.to_whole(of["string"])))
        unsure |= {f"(NOT {plain})"}
    return _converted("int", parts, unsure)


def _to_double(given: Operands) -> Typed:
    of = given.values[0].kinds
    parts = [of["double"]] if "double" in of else []
    parts += [given.sql.to_double(of["int"])] if "int" in of else []
    found = _converted("double", parts, _left(of, "string"))
    return found._replace(is_finite=given.values[0].is_finite)


def _to_text(given: Operands) -> Typed:
    of, sql = given.values[0].kinds, given.sql
    parts = [of["string"]] if "string" in of else []
    parts += [sql.to_text(of["int"])] if "int" in of else []
    if "bool" in of:
        parts.append(_cases(of["bool"], sql.value("true"), sql.value("false")))
    return _converted("string", parts, _left(of, "double", "timestamp", "duration"))


def _to_bool(given: Operands) -> Typed:
    of = given.values[0].kinds
    parts = [of["bool"]] if "bool" in of else []
    return _converted("bool", parts, _left(of, "string"))


def _to_instant(given: Operands) -> Typed | str:
    [value] = given.values
    if value.known is not None and isinstance(value.known.value, str):
        ns = instant_ns(value.known.value)
        if ns is None:
            return "the instant is not plain RFC 3339 between 1678 and 2261"
        return Typed({"timestamp": given.sql.value(ns)})
    of, parts = value.kinds, []
    unsure: set[str] = set()
    if "string" in of:
        plain = given.sql.matches(of["string"], _PLAIN_INSTANT)
        parts.append(where(plain, _read_instant(of["string"], given.sql)))
        unsure |= {f"(NOT {plain})"}
    if "timestamp" in of:
        parts.append(of["timestamp"])
    if "int" in of:
        ns_ = given.sql.whole("_*_", of["int"], given.sql.value(_SECOND))
        parts.append(ns_)
        unsure |= _beyond(ns_, of["int"])
    return _converted("timestamp", parts, unsure)


def _read_instant(text: str, sql: SqlDialect) -> str:
    """Return a plain instant in nanoseconds since 1970."""

    def number(pattern: str) -> str:
        return f"COALESCE({sql.to_whole(sql.extracted(text, pattern))}, 0)"

    date = sql.days(sql.extracted(text, "^(.{10})"))
    clock = f"{number('T(..)')} * 3600 + {number('T...(..)')} * 60"
    zone = f"{number('[+-](..):..$')} * 3600 + {number('[+-]..:(..)$')} * 60"
    east = f"CASE WHEN {sql.extracted(text, '([+]).....$')} = '+' THEN 1 ELSE -1 END"
    digits = sql.concatenated(sql.extracted(text, "[.]([0-9]+)"), "'000000000'")
    fraction = sql.to_whole(sql.extracted(digits, "^(.{9})"))
    clock = f"{clock} + {number('T......(..)')}"
    seconds = f"{date} * 86400 + {clock} - ({east}) * ({zone})"
    return f"(({seconds}) * {sql.value(_SECOND)} + {fraction})"


def _to_length(given: Operands) -> Typed | str:
    [value] = given.values
    if value.known is not None and isinstance(value.known.value, str):
        ns = length_ns(value.known.value)
        if ns is None:
            return "the length of time is not a plain one, such as `1h30m` or `1.5s`"
        return Typed({"duration": given.sql.value(ns)})
    of = value.kinds
    parts = [of["duration"]] if "duration" in of else []
    return _converted("duration", parts, _left(of, "string", "int"))


_SUMS: dict[str, tuple[tuple[ValueKind, ValueKind, ValueKind], ...]] = {
    "_+_": (
        ("timestamp", "duration", "timestamp"),
        ("duration", "timestamp", "timestamp"),
        ("duration", "duration", "duration"),
    ),
    "_-_": (
        ("timestamp", "timestamp", "duration"),
        ("timestamp", "duration", "timestamp"),
        ("duration", "duration", "duration"),
    ),
}
"""Kinds of time that are added and subtracted, and what kind that gives."""


def with_times(given: Operands, found: Typed) -> Typed:
    """Return what an operator gives, of times too where it adds or subtracts.

    Args:
        given: What the operator is given.
        found: What it gives of anything but times.
    """
    if given.function not in _SUMS:
        return found
    one, other = (item.kinds for item in given.values)
    kinds, unsure = dict(found.kinds), set(found.unsure)
    parts: dict[ValueKind, list[str]] = {}
    for left, right, gives in _SUMS[given.function]:
        if left in one and right in other:
            sql = given.sql.whole(given.function, one[left], other[right])
            parts.setdefault(gives, []).append(sql)
            unsure |= _beyond(sql, one[left], other[right])
    for kind, sums in parts.items():
        kinds[kind] = sums[0] if len(sums) == 1 else f"COALESCE({', '.join(sums)})"
    return found._replace(kinds=kinds, unsure=frozenset(unsure))


def _converted(kind: ValueKind, parts: list[str], unsure: set[str]) -> Typed:
    sql = parts[0] if len(parts) == 1 else f"COALESCE({', '.join(parts)})"
    return Typed({kind: sql} if parts else {}, frozenset(unsure))


def _cases(truth: str, true: str, false: str) -> str:
    return f"(CASE WHEN {truth} THEN {true} WHEN NOT {truth} THEN {false} END)"


def _left(of: Mapping[ValueKind, str], *kinds: ValueKind) -> set[str]:
    """Return when a value is of a kind that SQL does not convert."""
    return {f"({of[kind]} IS NOT NULL)" for kind in kinds if kind in of}


def _beyond(result: str, *given: str) -> set[str]:
    """Return when a result is beyond 64 bits, though CEL may have it."""
    there = " AND ".join(f"{sql} IS NOT NULL" for sql in given)
    return {f"({result} IS NULL AND {there})"}


CONVERSIONS: dict[str, Callable[[Operands], Typed | str]] = {
    "int": _to_int,
    "double": _to_double,
    "string": _to_text,
    "bool": _to_bool,
    "timestamp": _to_instant,
    "duration": _to_length,
}
"""What each conversion of CEL gives, or the reason why it is outside of SQL."""
