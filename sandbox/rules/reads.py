"""Which facts of a span an expression can read, so that the engine is given no others.

Rules of this module:

* The engine copies every entry of a map it is asked about; that costs more than all
  comparisons. What an expression cannot read makes no difference to it.
* A map that is read as a whole (a loop, `size`, a key that depends on the span) is
  given whole; so is the span beside a map literal, whose parts are not looked at.
* Names with the character NUL in them are left out always: the engine would cut them
  there, and take them for others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sandbox.rules.syntax import (
    Call,
    Constant,
    Name,
    Node,
    Select,
    Struct,
    nodes_below,
)

_MAPS = ("attributes", "resource")


class Reads(NamedTuple):
    """What is read: names of fields, and of attributes of each map; None means all."""

    fields: frozenset[str] | None = frozenset()
    attributes: frozenset[str] | None = frozenset()
    resource: frozenset[str] | None = frozenset()

    def chosen(self, span: Mapping[str, Any]) -> dict[str, Any]:
        """Return the facts of a span that can be read."""
        fields = span if self.fields is None else self.fields
        found = {name: span[name] for name in fields if name in span}
        if "attributes" in found:
            found["attributes"] = _chosen(found["attributes"], self.attributes)
        if "resource" in found:
            found["resource"] = _chosen(found["resource"], self.resource)
        return found


ALL = Reads(None, None, None)


def reads_of(tree: Node) -> Reads:
    """Return what an expression can read of a span."""
    found = Reads()
    waiting: list[Node] = [tree]
    while waiting:
        node = waiting.pop()
        read, below = _read(node)
        found = joined((found, read))
        waiting.extend(below)
    return found


def joined(reads: Iterable[Reads]) -> Reads:
    """Return everything that any of several expressions can read."""
    found = Reads()
    for item in reads:
        found = Reads(*map(_both, found, item))
    return found


def _both(one: frozenset[str] | None, other: frozenset[str] | None) -> Any:
    return None if one is None or other is None else one | other


def _read(node: Node) -> tuple[Reads, tuple[Node, ...]]:
    """Return what a node itself reads, and the nodes that are still to be looked at."""
    step = _step(node)
    if step is not None:
        of, key = step
        if of == Name(of.place, "span"):
            read = Reads(frozenset({key}))
            whole = {name: None for name in _MAPS if name == key}
            return read._replace(**whole), ()
        outer = _step(of)
        if outer is not None and outer[0] == Name(outer[0].place, "span"):
            name = outer[1]
            keys = {name: frozenset({key})} if name in _MAPS else {}
            return Reads(frozenset({name}))._replace(**keys), ()
    if node == Name(node.place, "span") or isinstance(node, Struct):
        return ALL, ()
    return Reads(), nodes_below(node)


def _step(node: Node) -> tuple[Node, str] | None:
    """Return the map and the key of `map.key`, `map["key"]` or `"key" in map`."""
    if isinstance(node, Select):
        return node.operand, node.field
    if isinstance(node, Call) and node.function in ("_[_]", "@in"):
        of, key = node.arguments if node.function == "_[_]" else node.arguments[::-1]
        value = key.value if isinstance(key, Constant) else None
        if isinstance(value, str) and "\0" not in value:
            return of, value
    return None


def _chosen(values: Any, keys: frozenset[str] | None) -> Any:
    if keys is not None:
        return {key: values[key] for key in keys if key in values}
    return {key: value for key, value in values.items() if "\0" not in key}
