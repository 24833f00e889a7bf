"""Random expressions and spans, made to make engines disagree.

Rules of this module:

* The same chance gives the same expressions and spans.
* Well-typed and ill-typed: attributes of one name are text in one span and a number in
  the next, or not there; values stand at the edges of their types.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from sandbox.errors import RuleError
from sandbox.rules.cel import Expression

KEYS = ("a", "A", "b", "c", "http.route", "zone", 'it\'s "quoted"\\', "地名")
"""Names of attributes; some look like what SQL would trip over."""
_MAX, _MIN = 2**63 - 1, -(2**63)
_INTS = (0, 1, -1, 2, 3, 7, 10, 2**53, 2**53 + 1, -(2**53) - 1, _MAX, _MAX - 1, _MIN)
_DOUBLES = (
    *(0.0, -0.0, 1.0, -1.0, 0.5, 1.9, 2.0, 3.0, 1e-300, 5e-324, 1.7e308, -1.7e308),
    *(2.0**53, 2.0**63, -(2.0**63), 9007199254740993.0, 0.1, 1e19, 1e22, 2.5e-5),
)
_NONFINITE = (float("nan"), float("inf"), float("-inf"))
_TEXTS = (
    *("", "a", "b", "ab", "abc", "A", "a b", " ", "a%", "a_c", "a.c", "a\nc", "\\"),
    *("e\u0301", "\u00e9", "\U0001f600", "\U0001f600a", "\uffff", "地名", "İ", "ß"),
    *("NaN", "1", "12", "-3", "+4", " 5", "007", "1.5", "1e3", "true", "false", "'"),
    *("9223372036854775807", "9223372036854775808", "zone-13", "null", '"'),
    *("2026-01-01T00:00:00Z", "2025-12-31T23:59:59.999999999+09:00", "0"),
    *("1900-01-01T00:00:00+14:00", "2199-12-31T23:59:59.123456789-14:59"),
    *("2024-02-29T12:00:00Z", "1999-12-31T23:59:59.000000001-00:30"),
    *("2026-01-01T00:00:00", "2024-02-30T00:00:00Z", "1969-12-31T23:59:59.5Z"),
)
_HIDDEN = ("a\0", "\0", "a\0b")
_PATTERNS = (
    *(
        "a",
        "^a",
        "c$",
        "^a.c$",
        "^$",
        "",
        "[a-c]+",
        "b|c",
        "(a)(b)?",
        "\\d+",
        "\\.",
        ".",
    ),
    *(
        "^.$",
        "(?i)A",
        "(?s)a.c",
        "a{2}",
        "\\bab\\b",
        "[^a]",
        "\\pL",
        "地",
        "%",
        "(",
        "*",
    ),
)
_NAMES = ("/dispatch", "/", "", "GET", "a", "\U0001f600")
_START = 1_767_225_600 * 10**9


def random_expressions(chance: random.Random, count: int) -> Iterator[Expression]:
    """Yield expressions that the engine takes, of every kind this product puts in SQL.

    Args:
        chance: Where they come from.
        count: How many.
    """
    made = _Expressions(chance)
    while count:
        try:
            expression = Expression(made.boolean(chance.randint(0, 4)))
        except RuleError:
            continue
        count -= 1
        yield expression


def random_request(chance: random.Random, count: int) -> bytes:
    """Return a request of random spans, all of one resource.

    Args:
        chance: Where they come from.
        count: How many.
    """
    request = ExportTraceServiceRequest()
    batch = request.resource_spans.add()
    for key in chance.sample(KEYS, 3):
        batch.resource.attributes.add(key=key, value=_attribute(chance))
    if chance.random() < 0.7:
        service = batch.resource.attributes.add(key="service.name")
        service.value.string_value = chance.choice(("dispatch", "", "地"))
    scope = batch.scope_spans.add()
    for _ in range(count):
        _fill(scope.spans.add(), chance)
    return request.SerializeToString()


def _fill(span: Any, chance: random.Random) -> None:
    span.trace_id = chance.randbytes(chance.choice((16, 16, 16, 0, 3)))
    span.span_id = chance.randbytes(8)
    span.parent_span_id = chance.choice((b"", chance.randbytes(8)))
    span.name = chance.choice(_NAMES if chance.random() < 0.98 else _HIDDEN)
    span.kind = chance.randrange(6)
    span.status.code = chance.randrange(3)
    start = _START + chance.randrange(10**12)
    if chance.random() < 0.02:
        start = chance.choice((0, 1, _MAX, _MAX - 10**18))
    span.start_time_unix_nano = start
    span.end_time_unix_nano = start + chance.choice(
        (0, 1, 10**9, chance.randrange(10**12))
    )
    if chance.random() < 0.01:
        span.end_time_unix_nano = chance.choice((0, 2**63, 2**64 - 1))
    names = (*KEYS, "a\0b") if chance.random() < 0.02 else KEYS
    for key in chance.sample(names, chance.randint(0, len(names))):
        span.attributes.add(key=key, value=_attribute(chance))


def _attribute(chance: random.Random, depth: int = 2) -> AnyValue:
    if depth and chance.random() < 0.12:
        return _deep(chance, depth)
    value = AnyValue()
    kind = chance.choices(("string", "int", "double", "bool"), (6, 4, 4, 2))[0]
    if kind == "string":
        value.string_value = chance.choice(_TEXTS if depth else _HIDDEN)
    elif kind == "int":
        value.int_value = chance.choice(_INTS)
    elif kind == "double":
        value.double_value = chance.choice(_DOUBLES if depth else _NONFINITE)
    else:
        value.bool_value = chance.random() < 0.5
    return value


def _deep(chance: random.Random, depth: int) -> AnyValue:
    """Return a value of no plain type, or one that rules see otherwise than it is."""
    value = AnyValue()
    kind = chance.choice(("list", "map", "bytes", "none", "hidden", "hidden"))
    if kind == "list":
        value.array_value.values.extend(_attribute(chance, depth - 1) for _ in range(2))
    elif kind == "map":
        value.kvlist_value.values.add(key="a", value=_attribute(chance, depth - 1))
    elif kind == "bytes":
        value.bytes_value = b"\0\xff"
    elif kind == "hidden":
        return _attribute(chance, 0)
    return value


class _Expressions:
    """Texts of random expressions, of a wanted type or of any."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._variables: list[str] = []

    def boolean(self, depth: int) -> str:
        if depth <= 0:
            return self._pick(self._comparison, self._test, self._presence, self._leaf)
        return self._pick(
            *(lambda: self._comparison(depth - 1), lambda: self._test(depth - 1)),
            *(self._presence, self._presence, lambda: self._loop(depth - 1)),
            *(lambda: self._logic(depth - 1), lambda: self._logic(depth - 1)),
            *(lambda: self._in(depth - 1), lambda: f"!({self.boolean(depth - 1)})"),
        )

    def _pick(self, *makers: Callable[[], str]) -> str:
        return self._chance.choice(makers)()

    def _of(self, items: Sequence[str]) -> str:
        return self._chance.choice(items)

    def _leaf(self) -> str:
        return self._of(("true", "false", self._access()))

    def _logic(self, depth: int) -> str:
        one, other = self.boolean(depth), self.boolean(depth)
        if self._chance.random() < 0.2:
            return f"({one} ? {other} : {self.boolean(depth)})"
        return f"({one} {self._of(('&&', '||'))} {other})"

    def _comparison(self, depth: int = 0) -> str:
        sign = self._of(("==", "!=", "<", "<=", ">", ">=", "==", "<="))
        kind = self._chance.random()
        if kind < 0.4:
            return f"{self.number(depth)} {sign} {self.number(depth)}"
        if kind < 0.6:
            return f"{self.text(depth)} {sign} {self.text(depth)}"
        if kind < 0.7:
            return f"{self.instant(depth)} {sign} {self.instant(depth)}"
        return f"{self.anything(depth)} {sign} {self.anything(depth)}"

    def _test(self, depth: int = 0) -> str:
        if self._chance.random() < 0.4:
            pattern = _quoted(self._of(_PATTERNS))
            return f"{self.text(depth)}.matches({pattern})"
        name = self._of(("startsWith", "endsWith", "contains"))
        return f"{self.text(depth)}.{name}({self.text(depth)})"

    def _presence(self) -> str:
        key = self._of((*KEYS, "missing"))
        scope = self._of(("attributes", "attributes", "resource"))
        return self._of(
            (
                f"{_quoted(key)} in span.{scope}",
                f"has(span.{scope}.{self._of(('a', 'b', 'zone'))})",
                f"has(span.{self._of(('name', 'nothing'))})",
                f"has(params.{self._of(('limit', 'none'))})",
                f"has({self._access()}.a)",
            )
        )

    def _in(self, depth: int) -> str:
        items = ", ".join(
            self.anything(0)
            if self._chance.random() < 0.3
            else f"dyn({self._literal()})"
            for _ in range(self._chance.randint(0, 3))
        )
        return f"{self.anything(depth)} in [{items}]"

    def _loop(self, depth: int) -> str:
        variable = f"x{len(self._variables)}"
        over = self._of(("span.attributes", "span.attributes", "span.resource", "list"))
        if over == "list":
            items = (f"dyn({self._literal()})", self._access(), self._literal())
            over = f"[{', '.join(self._chance.sample(items, 2))}]"
        self._variables.append(variable)
        each = self.boolean(depth)
        self._variables.pop()
        kind = self._of(("exists", "all") * 6 + ("exists_one", "filter", "map"))
        loop = f"{over}.{kind}({variable}, {each})"
        return f"(size({loop}) == 1)" if kind in ("filter", "map") else loop

    def anything(self, depth: int) -> str:
        return self._pick(
            *(self._access, self._access, self._literal, lambda: self.number(depth)),
            *(lambda: self.text(depth), lambda: f"({self.boolean(depth - 1)})"),
        )

    def _access(self) -> str:
        if self._chance.random() < 0.01:
            return f'{{"k": span.name}}[{self._of(("span.kind", _quoted("k")))}]'
        if self._variables and self._chance.random() < 0.4:
            name = self._of(self._variables)
            return self._of((name, f"span.attributes[{name}]"))
        scope = self._of(("attributes", "attributes", "attributes", "resource"))
        key = self._of((*KEYS, *KEYS, "missing"))
        return f"span.{scope}[{_quoted(key)}]"

    def _literal(self) -> str:
        return self._pick(
            *(self._int, self._double, lambda: _quoted(self._of(_TEXTS))),
            lambda: self._of(("true", "false", "null")),
        )

    def _int(self) -> str:
        return str(self._chance.choice(_INTS))

    def _double(self) -> str:
        return _double(self._chance.choice(_DOUBLES))

    def number(self, depth: int) -> str:
        if depth <= 0:
            fields = ("span.start_unix_nano", "span.duration_s", "span.end_unix_nano")
            return self._pick(
                *(self._access, self._access, self._int, self._double),
                lambda: self._of(
                    (*fields, "params.limit", "params.none", "params.big")
                ),
            )
        one = self.number(depth - 1)
        return self._pick(
            lambda: f"({one} {self._of(('+', '-', '*', '/', '%'))} {self.number(0)})",
            lambda: (
                f"({one} {self._of(('+', '-', '*', '/'))} {self.number(depth - 1)})"
            ),
            lambda: f"(-{one})",
            lambda: f"size({self._of(('span.attributes', 'span', self.text(0)))})",
            lambda: f"{self._of(('int', 'double'))}({self.anything(depth - 1)})",
            lambda: f"({self.boolean(0)} ? {one} : {self.number(0)})",
            self._access,
        )

    def text(self, depth: int) -> str:
        fields = ("name", "kind", "service", "status", "trace_id", "parent_span_id")
        if depth <= 0:
            return self._pick(
                *(self._access, self._access, lambda: _quoted(self._of(_TEXTS))),
                lambda: f"span.{self._of(fields)}",
            )
        return self._pick(
            lambda: f"({self.text(depth - 1)} + {self.text(0)})",
            lambda: f"string({self.anything(depth - 1)})",
            self._access,
        )

    def instant(self, depth: int) -> str:
        if depth <= 0:
            return self._of(
                (
                    'timestamp("2026-01-01T00:00:00Z")',
                    'timestamp("2025-12-31T23:59:59.999999999-11:30")',
                    f"timestamp({self._access()})",
                    f"timestamp({self._int()})",
                    "timestamp(span.start_unix_nano / 1000000000)",
                )
            )
        spans = ('duration("1h")', 'duration("-1.5s")', 'duration("1ns")')
        return self._of(
            (
                f"({self.instant(depth - 1)} {self._of('+-')} {self._of(spans)})",
                f"({self.instant(depth - 1)} - {self.instant(0)})",
                self._of(spans),
            )
        )


def _quoted(text: str) -> str:
    body = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{body}"'


def _double(number: float) -> str:
    text = repr(number)
    return text if "." in text or "e" in text else f"{text}.0"
