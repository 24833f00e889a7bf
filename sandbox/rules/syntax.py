"""An expression as a tree, read from what the CEL engine compiled.

Rules of this module:

* There is one grammar and one type checker: those of the engine that judges spans.
  `Expression.tree` is its checked tree, after macros were expanded.
* Every node knows its place in the text: line from 1, column from 1, in characters.
* `exists` and `all` are recognised in their expanded form; any other loop is a `Loop`
  of kind `other`. A target of a method is the call's first argument.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from sandbox.rules.checked import read_checked

Scalar = None | bool | int | float | str | bytes


class Place(NamedTuple):
    """Where a node stands in the text of its expression."""

    line: int
    column: int


class Constant(NamedTuple):
    """A literal."""

    place: Place
    value: Scalar
    is_unsigned: bool = False


class Name(NamedTuple):
    """A variable: `span`, `params`, or that of a loop around it."""

    place: Place
    name: str


class Select(NamedTuple):
    """`operand.field`, or `has(operand.field)`."""

    place: Place
    operand: Node
    field: str
    is_test: bool


class Call(NamedTuple):
    """An operator, function or method, by the name CEL gives it, such as `_&&_`."""

    place: Place
    function: str
    arguments: tuple[Node, ...]


class Items(NamedTuple):
    """`[a, b]`."""

    place: Place
    items: tuple[Node, ...]


class Loop(NamedTuple):
    """`over.exists(variable, each)` or `over.all(variable, each)`."""

    place: Place
    kind: Literal["exists", "all", "other"]
    variable: str
    over: Node
    each: Node


class Struct(NamedTuple):
    """A map or message literal; what is in it is not read."""

    place: Place


Node = Constant | Name | Select | Call | Items | Loop | Struct

LoopKind = Literal["exists", "all", "other"]
_STEPS: dict[str, tuple[LoopKind, bool]] = {
    "_||_": ("exists", False),
    "_&&_": ("all", True),
}
"""How the macros' steps join, and what they begin with."""


def read_tree(serialized: bytes) -> Node:
    """Return the tree of a compiled expression.

    Args:
        serialized: What the engine's `serialize` gives.
    """
    checked = read_checked(serialized)
    return _Reading(checked.source_info).node(checked.expr)


def nodes_below(node: Node) -> tuple[Node, ...]:
    """Return the nodes that a node is directly made of."""
    if isinstance(node, Select):
        return (node.operand,)
    if isinstance(node, Call):
        return node.arguments
    if isinstance(node, Items):
        return node.items
    return (node.over, node.each) if isinstance(node, Loop) else ()


class _Reading:
    """The messages of one expression on their way to nodes."""

    def __init__(self, source: Any) -> None:
        self._offsets = {item.key: item.value for item in source.positions}
        self._ends = list(source.line_offsets)

    def node(self, expr: Any) -> Node:
        place = self._place(expr.id)
        if expr.HasField("const_expr"):
            return _constant(place, expr.const_expr)
        if expr.HasField("ident_expr"):
            return Name(place, expr.ident_expr.name.removeprefix("."))
        if expr.HasField("select_expr"):
            select = expr.select_expr
            operand = self.node(select.operand)
            return Select(place, operand, select.field, select.test_only)
        if expr.HasField("call_expr"):
            return self._call(place, expr.call_expr)
        if expr.HasField("list_expr"):
            items = expr.list_expr.elements
            return Items(place, tuple(self.node(item) for item in items))
        if expr.HasField("comprehension_expr"):
            return self._loop(place, expr.comprehension_expr)
        return Struct(place)

    def _call(self, place: Place, call: Any) -> Call:
        target = [call.target] if call.HasField("target") else []
        arguments = tuple(self.node(item) for item in (*target, *call.args))
        return Call(place, call.function, arguments)

    def _loop(self, place: Place, loop: Any) -> Loop:
        over = self.node(loop.iter_range)
        step, begins = self.node(loop.loop_step), self.node(loop.accu_init)
        result = self.node(loop.result)
        if isinstance(step, Call) and isinstance(begins, Constant):
            macro = _STEPS.get(step.function)
            same = Name(step.arguments[0].place, loop.accu_var) == step.arguments[0]
            if macro and begins.value is macro[1] and same and isinstance(result, Name):
                return Loop(place, macro[0], loop.iter_var, over, step.arguments[1])
        return Loop(place, "other", loop.iter_var, over, step)

    def _place(self, number: int) -> Place:
        offset = self._offsets.get(number, 0)
        before = [end for end in self._ends if end <= offset]
        return Place(1 + len(before), 1 + offset - max(before, default=0))


def _constant(place: Place, constant: Any) -> Constant:
    for field, value in constant.ListFields():
        is_null = field.name == "null_value"
        return Constant(place, None if is_null else value, field.name == "uint64_value")
    return Constant(place, None)
