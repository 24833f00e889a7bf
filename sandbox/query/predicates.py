"""An expression of a rule as SQL over the columns of one derived file.

Rules of this module:

* The SQL says what the CEL engine says: true, false, or NULL where it cannot be
  evaluated. Where SQL cannot tell, `unsure` holds, and the span is to be judged by the
  engine that judges span by span.
* What is outside the subset is named with its place and the reason; the predicate is
  then unsure of every span. Every such part is named, not only the first.
* The tree is that of the CEL engine; there is no second grammar.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sandbox.query.conversions import CONVERSIONS, with_times
from sandbox.query.dialects import SqlDialect
from sandbox.query.fields import Fields, MapValue, literal
from sandbox.query.operators import OPERATORS, Operands, is_in
from sandbox.query.origin import Origin
from sandbox.query.typed import (
    ERROR,
    FALSE,
    TRUE,
    Known,
    Typed,
    boolean,
    defined,
    either,
    every,
    negated,
    where,
)
from sandbox.rules.cel import Expression
from sandbox.rules.syntax import (
    Call,
    Constant,
    Items,
    Loop,
    Name,
    Node,
    Place,
    Select,
    Struct,
)

_LONGEST = 100_000
_UNSURE = frozenset({TRUE})


class Outside(NamedTuple):
    """A part of an expression that is outside what is put into SQL."""

    line: int
    column: int
    reason: str

    def sentence(self) -> str:
        """Return where it stands and why, in words."""
        return f"line {self.line}, character {self.column}: {self.reason}"


class Predicate(NamedTuple):
    """An expression as two conditions over the columns of a derived file."""

    truth: str
    """TRUE, FALSE or NULL, as the expression is true, false or not evaluable."""
    unsure: str
    """TRUE where `truth` means nothing and the span is to be judged by itself; never
    NULL."""
    outside: tuple[Outside, ...] = ()


class _ListValue(NamedTuple):
    items: tuple[Typed, ...]


_Value = Typed | MapValue | _ListValue
_Bound = Mapping[str, Typed]


def predicate_sql(
    expression: Expression,
    params: Mapping[str, float],
    *,
    origin: Origin,
    dialect: SqlDialect,
) -> Predicate:
    """Return an expression as SQL.

    Args:
        expression: CEL over `span` and `params`.
        params: Values in force.
        origin: What the file says of itself whose columns are asked.
        dialect: How the engine writes it, and of which table columns are asked.
    """
    compiling = _Compiling(Fields(origin, params, dialect), dialect)
    value = compiling.typed(expression.tree, {})
    outside = tuple(dict.fromkeys(compiling.outside))
    truth = value.truth or dialect.unknown()
    unsure = either(sorted(value.unsure))
    if outside or TRUE in value.unsure or len(truth) + len(unsure) > _LONGEST:
        return Predicate(dialect.unknown(), TRUE, outside)
    if unsure != FALSE:
        unsure = f"COALESCE({unsure}, FALSE)"
    return Predicate(truth, unsure, outside)


class _Compiling:
    """One expression on its way into SQL."""

    def __init__(self, fields: Fields, dialect: SqlDialect) -> None:
        self.outside: list[Outside] = []
        self._fields = fields
        self._sql = dialect

    def typed(self, node: Node, bound: _Bound) -> Typed:
        """Return a part of the expression as a typed value; no map or list is one."""
        value = self._value(node, bound)
        if isinstance(value, Typed):
            return value
        what = "a list" if isinstance(value, _ListValue) else "a whole map"
        return self._leave_out(node.place, f"{what} is not compared or computed with")

    def _leave_out(self, place: Place, reason: str) -> Typed:
        self.outside.append(Outside(*place, reason))
        return ERROR

    def _value(self, node: Node, bound: _Bound) -> _Value:
        if isinstance(node, Constant):
            return self._constant(node)
        if isinstance(node, Name):
            return self._name(node, bound)
        if isinstance(node, Select):
            return self._select(node, bound)
        if isinstance(node, Items):
            return _ListValue(tuple(self.typed(item, bound) for item in node.items))
        if isinstance(node, Loop):
            return self._loop(node, bound)
        if isinstance(node, Struct):
            return self._leave_out(node.place, "a map literal is not put into SQL")
        return self._call(node, bound)

    def _constant(self, node: Constant) -> Typed:
        value = node.value
        if value is None:
            return Typed({"null": TRUE}, known=Known(None))
        if node.is_unsigned:
            return self._leave_out(node.place, "no attribute is an unsigned number")
        if isinstance(value, bytes):
            return self._leave_out(node.place, "no attribute is bytes to a rule")
        if isinstance(value, str) and "\0" in value:
            return self._leave_out(node.place, "the text has the character NUL in it")
        return literal(value, self._sql)

    def _name(self, node: Name, bound: _Bound) -> _Value:
        if node.name in bound:
            return bound[node.name]
        if node.name == "span":
            return MapValue("span")
        if node.name == "params":
            return MapValue("params")
        return self._leave_out(node.place, f"`{node.name}` is not put into SQL")

    def _select(self, node: Select, bound: _Bound) -> _Value:
        of = self._value(node.operand, bound)
        if isinstance(of, MapValue):
            if node.is_test:
                return self._fields.has(of, node.field)
            return self._fields.get(of, node.field)
        if isinstance(of, _ListValue):
            return self._leave_out(node.place, "a list has no fields")
        # What is no map has no fields, whatever it is; what may be a map is unsure.
        return ERROR.but([of])

    def _call(self, node: Call, bound: _Bound) -> _Value:
        if node.function == "_[_]":
            return self._index(node, bound)
        if node.function == "@in":
            return self._in(node, bound)
        if node.function == "dyn":
            return self._value(node.arguments[0], bound)
        if node.function == "size":
            return self._size(node, bound)
        operator = OPERATORS.get(node.function) or CONVERSIONS.get(node.function)
        if operator is None:
            name = node.function.strip("_")
            return self._leave_out(node.place, f"`{name}` is not put into SQL")
        operands = [self.typed(item, bound) for item in node.arguments]
        given = Operands(self._sql, node.function, operands)
        found = operator(given)
        if isinstance(found, str):
            return self._leave_out(node.place, found)
        return with_times(given, found).but(operands)

    def _index(self, node: Call, bound: _Bound) -> _Value:
        of = self._value(node.arguments[0], bound)
        key = self.typed(node.arguments[1], bound)
        if isinstance(of, Typed):
            return ERROR.but([of, key])
        if isinstance(of, _ListValue):
            return self._leave_out(node.place, "a list is not indexed in SQL")
        if key.known is None:
            reason = "which key is asked for depends on the span"
            return self._leave_out(node.place, reason)
        if not isinstance(key.known.value, str):
            return ERROR
        return self._fields.get(of, key.known.value)

    def _in(self, node: Call, bound: _Bound) -> _Value:
        one = self.typed(node.arguments[0], bound)
        of = self._value(node.arguments[1], bound)
        if isinstance(of, _ListValue):
            return is_in(one, of.items, self._sql)
        if isinstance(of, Typed):
            return ERROR.but([one, of])
        if one.known is None:
            reason = "which key is asked for depends on the span"
            return self._leave_out(node.place, reason)
        if not isinstance(one.known.value, str):
            return boolean(FALSE)
        return self._fields.has(of, one.known.value)

    def _size(self, node: Call, bound: _Bound) -> Typed:
        of = self._value(node.arguments[0], bound)
        if isinstance(of, MapValue):
            return self._fields.size(of)
        if isinstance(of, _ListValue):
            return self._leave_out(node.place, "a list is not counted in SQL")
        text = of.kinds.get("string")
        found = Typed({"int": self._sql.length(text)} if text else {})
        return found.but([of])

    def _loop(self, node: Loop, bound: _Bound) -> Typed:
        if node.kind == "other":
            reason = "of the loops, exists and all are put into SQL"
            return self._leave_out(node.place, reason)
        over = self._value(node.over, bound)
        if isinstance(over, MapValue):
            return self._over_keys(node, over, bound)
        if isinstance(over, Typed):
            return ERROR.but([over])
        each = [
            self.typed(node.each, {**bound, node.variable: item}) for item in over.items
        ]
        join = either if node.kind == "exists" else every
        truth = join(item.truth or self._sql.unknown() for item in each)
        guard = every(defined(item) for item in over.items)
        return boolean(where(guard, truth)).but([*each, *over.items])

    def _over_keys(self, node: Loop, over: MapValue, bound: _Bound) -> Typed:
        keys = self._fields.keys(over)
        if keys is None:
            # What is outside the subset is found all the same.
            self.typed(node.each, {**bound, node.variable: literal("", self._sql)})
            return ERROR._replace(unsure=_UNSURE)
        parts: list[str] = []
        used: list[Typed] = []
        for key in keys:
            name = literal(key, self._sql)
            each = self.typed(node.each, {**bound, node.variable: name})
            there, truth = (
                self._fields.has(over, key),
                each.truth or self._sql.unknown(),
            )
            used += [there, each]
            if node.kind == "exists":
                parts.append(every([there.truth or FALSE, truth]))
            else:
                parts.append(either([negated(there.truth or FALSE), truth]))
        join = either if node.kind == "exists" else every
        return boolean(join(parts)).but(used)
