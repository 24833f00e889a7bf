"""The fields of a span in the columns of one derived file, as typed values.

Rules of this module:

* What a file cannot have, by what it says of itself, costs nothing in its SQL.
* Rules see text up to its first NUL, numbers that JSON cannot write as their names, and
  bytes, lists and maps as JSON: a span in which such a value is asked for is left to
  the engine that judges span by span. Names with NUL in them rules do not see.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

from sandbox.query.columns import KINDS, Place, Scope, map_name
from sandbox.query.dialects import SqlDialect
from sandbox.query.origin import Origin
from sandbox.query.typed import (
    ERROR,
    FALSE,
    TRUE,
    Known,
    Typed,
    ValueKind,
    boolean,
    either,
)
from sandbox.rules import SPAN_FIELDS

_TEXT = ("name", "service")
_WORDS = ("kind", "status")
_BYTES = ("trace_id", "span_id", "parent_span_id")
_SCOPES: dict[str, Scope] = {"attributes": "attributes", "resource": "resource"}

_PLAIN: tuple[Literal["string", "int", "double", "bool"], ...] = (
    "string",
    "int",
    "double",
    "bool",
)

MapName = Literal["span", "params", "attributes", "resource"]


class MapValue(NamedTuple):
    """One of the four maps an expression can name."""

    name: MapName


class Fields:
    """What an expression can ask for, of one derived file.

    Args:
        origin: What the file says of itself.
        params: Values in force.
        dialect: How the engine writes it.
    """

    def __init__(
        self, origin: Origin, params: Mapping[str, float], dialect: SqlDialect
    ) -> None:
        self._origin = origin
        self._params = params
        self._sql = dialect

    def get(self, of: MapValue, key: str) -> Typed | MapValue:
        """Return what a map holds under a key."""
        if of.name == "params":
            known = key in self._params
            return literal(float(self._params[key]), self._sql) if known else ERROR
        if of.name != "span":
            return self._attribute(of.name, key)
        if key in _SCOPES:
            return MapValue(_SCOPES[key])
        return self._field(key)

    def has(self, of: MapValue, key: str) -> Typed:
        """Return whether a map has a key."""
        if of.name == "params":
            return boolean(TRUE if key in self._params else FALSE)
        if of.name == "span":
            return boolean(TRUE if key in SPAN_FIELDS else FALSE)
        there = [
            self._is_there(Place(of.name, kind, key))
            for kind in KINDS
            if self._origin.may_have(of.name, kind, key)
        ]
        return boolean(either(there))

    def keys(self, of: MapValue) -> list[str] | None:
        """Return every key that a map may have; None where that is not known."""
        if of.name == "params":
            return list(self._params)
        if of.name == "span":
            return list(SPAN_FIELDS)
        found: set[str] = set()
        for kind in KINDS:
            known = self._origin.keys[map_name(of.name, kind)]
            if known is None:
                return None
            found.update(key for key in known if "\0" not in key)
        return sorted(found)

    def size(self, of: MapValue) -> Typed:
        """Return how many keys a map has."""
        if of.name in ("params", "span"):
            count = len(self._params if of.name == "params" else SPAN_FIELDS)
            return literal(count, self._sql)
        scope = _SCOPES[of.name]
        maps = [self._sql.count(map_name(scope, kind)) for kind in KINDS]
        one, zero = self._sql.value(1), self._sql.value(0)
        own = [
            f"(CASE WHEN {self._is_there(place)} THEN {one} ELSE {zero} END)"
            for place in self._origin.own
            if place.scope == scope and self._origin.may_have(*place)
        ]
        return Typed({"int": f"({' + '.join([*maps, *own])})"}, self._hidden(scope))

    def _field(self, key: str) -> Typed:
        if key in _TEXT:
            column = self._sql.column(key)
            return Typed({"string": column}, frozenset({self._sql.has_nul(column)}))
        if key in _WORDS:
            return Typed({"string": self._sql.column(key)})
        if key in _BYTES:
            return Typed({"string": self._sql.hexadecimal(key)})
        if key == "duration_s":
            return Typed({"double": self._sql.duration()})
        if key in ("start_unix_nano", "end_unix_nano"):
            instant = self._sql.nanoseconds(f"{key.partition('_')[0]}_ns")
            return Typed({"int": instant}, frozenset({f"({instant} IS NULL)"}))
        return ERROR

    def _attribute(self, scope: Scope, key: str) -> Typed:
        kinds: dict[ValueKind, str] = {}
        unsure: set[str] = set()
        for kind in _PLAIN:
            if self._origin.may_have(scope, kind, key):
                kinds[kind] = self._at(Place(scope, kind, key))
        if self._origin.may_have(scope, "other", key):
            unsure.add(self._is_there(Place(scope, "other", key)))
        if "string" in kinds:
            unsure.add(self._sql.has_nul(kinds["string"]))
        if "double" in kinds:
            unsure.add(f"(NOT {self._sql.is_finite(kinds['double'])})")
        return Typed(kinds, frozenset(unsure))

    def _at(self, place: Place) -> str:
        if place in self._origin.own:
            return self._sql.column(place.column)
        return self._sql.entry(map_name(place.scope, place.kind), place.key)

    def _is_there(self, place: Place) -> str:
        if place in self._origin.own:
            return f"({self._sql.column(place.column)} IS NOT NULL)"
        return self._sql.has(map_name(place.scope, place.kind), place.key)

    def _hidden(self, scope: Scope) -> frozenset[str]:
        """Return when a span may have attributes that rules do not see."""
        unsure: set[str] = set()
        for kind in KINDS:
            name = map_name(scope, kind)
            known = self._origin.keys[name]
            if known is None:
                unsure.add(self._sql.has_key_with_nul(name))
            elif any("\0" in key for key in known):
                unsure.add(TRUE)
        return frozenset(unsure)


def literal(value: bool | int | float | str, dialect: SqlDialect) -> Typed:
    """Return a value that is known when the SQL is written."""
    kinds: dict[type, ValueKind] = {
        bool: "bool",
        int: "int",
        float: "double",
        str: "string",
    }
    if isinstance(value, bool):
        return boolean(TRUE if value else FALSE)
    is_finite = not isinstance(value, float) or math.isfinite(value)
    sql = {kinds[type(value)]: dialect.value(value)}
    return Typed(sql, known=Known(value), is_finite=is_finite)
