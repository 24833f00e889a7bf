"""What a pattern means, told slowly and plainly: for checking those that are fast.

Rules of this module:

* A pattern is read word by word over a list of spans of which everything is known.
* What is not known (a predicate that cannot be evaluated, a span that may be missing)
  is tried in every way it could be. What comes out the same each time is the result;
  otherwise the unit is not evaluable.
* Nothing here is shared with `sandbox.rules.pattern`, and CEL is not asked: predicates
  are attributes of spans that are true, false, or anything else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from sandbox.model.pattern import Pattern

SECOND = 10**9
Result = str
"""satisfied, violated, not_evaluable, or `none` where the span is no unit."""


@dataclass(frozen=True)
class PlainSpan:
    """A span as the reference sees it; times in seconds."""

    span_id: str
    trace_id: str
    start: int
    end: int
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """Return it as expressions see it."""
        return {
            "name": "n",
            "kind": "internal",
            "service": "s",
            "status": "unset",
            "duration_s": float(self.end - self.start),
            "attributes": dict(self.attributes),
            "resource": {},
            "trace_id": self.trace_id,
            "span_id": self.span_id,
            "parent_span_id": "",
            "start_unix_nano": self.start * SECOND,
            "end_unix_nano": self.end * SECOND,
        }


@dataclass(frozen=True)
class PlainKnown:
    """Of which times all spans are known, in seconds."""

    until: int
    settling: int
    gaps: tuple[tuple[int, int], ...] = ()


def reference_results(
    pattern: Pattern, spans: Sequence[PlainSpan], known: PlainKnown
) -> dict[tuple[str, str], Result]:
    """Return the result of every span, by trace and span id.

    Args:
        pattern: Each predicate is `span.attributes.NAME`; times are whole seconds.
        spans: As delivered: in any order, with redeliveries.
        known: Of which times all spans are known.
    """
    first: dict[tuple[str, str], PlainSpan] = {}
    for span in sorted(spans, key=_order):
        first.setdefault((span.trace_id, span.span_id), span)
    return {
        name: _result(pattern, span, list(first.values()), known)
        for name, span in first.items()
    }


def _result(
    pattern: Pattern, unit: PlainSpan, spans: list[PlainSpan], known: PlainKnown
) -> Result:
    together = [span for span in spans if _key(pattern, span) == _key(pattern, unit)]
    if _key(pattern, unit) is None:
        together = []
    names = {text.rpartition(".")[2] for text in pattern.predicates().values()}
    found = set()
    for world in _worlds(unit, together, sorted(names)):
        for extra in _extras(pattern, world, names, known):
            here = next(s for s in world if s.span_id == unit.span_id)
            found.add(_plain(pattern, here, sorted([*world, *extra], key=_order)))
        if _key(pattern, unit) is None and (pattern.between or found != {"none"}):
            found |= {"none", "satisfied", "violated"}
    return found.pop() if len(found) == 1 else "not_evaluable"


def _worlds(
    unit: PlainSpan, spans: list[PlainSpan], names: list[str]
) -> Iterator[list[PlainSpan]]:
    """Yield the spans with everything that is unknown of them decided in some way."""
    spans = spans or [unit]
    unknown = [
        (number, name)
        for number, span in enumerate(spans)
        for name in names
        if not isinstance(span.attributes.get(name), bool)
    ]
    for values in product((True, False), repeat=len(unknown)):
        world = list(spans)
        for (number, name), value in zip(unknown, values, strict=True):
            told = {**world[number].attributes, name: value}
            world[number] = replace(world[number], attributes=told)
        yield world


def _extras(
    pattern: Pattern, world: list[PlainSpan], names: set[str], known: PlainKnown
) -> Iterator[list[PlainSpan]]:
    """Yield no further span, and each single one that may be missing.

    One is enough to change any result that missing spans can change, if for `at_most`
    it stands for as many as are needed.
    """
    yield []
    last = max(span.start for span in world)
    ends = last + known.settling if "trace" in pattern.same else last + 1000
    stretches = [*known.gaps, (known.until, last + 100)]
    moments = {m for a, b in stretches for m in range(a, b + 1) if m <= ends}
    # Just after each span that is there, and before and after all at one moment.
    places = [(s.start, s.end, f"{s.span_id}+") for s in world if s.start in moments]
    for moment in sorted(moments):
        places += [(moment, moment, "!"), (moment, moment + 1000, "~")]
    count = 20 if pattern.at_most is not None else 1
    for (start, end, name), values in product(
        places, product((True, False), repeat=len(names))
    ):
        told = {**world[0].attributes, **dict(zip(sorted(names), values, strict=True))}
        yield [
            PlainSpan(f"{name}{n}", world[0].trace_id, start, end, told)
            for n in range(count)
        ]


def _plain(pattern: Pattern, unit: PlainSpan, spans: list[PlainSpan]) -> Result:
    """Read a pattern of spans of which everything is known."""
    before = [span for span in spans if _order(span) < _order(unit)]
    after = [span for span in spans if _order(span) > _order(unit)]
    within = int((pattern.within or pattern.per or "1000000s")[:-1])
    if pattern.preceded_by:
        holds = any(
            _is(span, pattern.preceded_by) and unit.start - span.start <= within
            for span in before
        )
        return _word(holds) if _is(unit, pattern.every) else "none"
    if pattern.followed_by:
        holds = any(
            _is(span, pattern.followed_by) and span.start - unit.start <= within
            for span in after
        )
        return _word(holds) if _is(unit, pattern.every) else "none"
    if pattern.of:
        counted = [
            span
            for span in [*before, unit]
            if _is(span, pattern.of) and unit.start - span.start < within
        ]
        holds = len(counted) <= int(pattern.at_most or 0)
        return _word(holds) if _is(unit, pattern.of) else "none"
    if pattern.between and not _is_open(pattern, before):
        return "none"
    if pattern.never:
        return _word(not _is(unit, pattern.never))
    return _word(_is(unit, pattern.always))


def _is_open(pattern: Pattern, before: list[PlainSpan]) -> bool:
    is_open = False
    for span in before:
        assert pattern.between is not None
        if _is(span, pattern.between.closes):
            is_open = False
        if _is(span, pattern.between.opens):
            is_open = True
    return is_open


def _is(span: PlainSpan, text: str | None) -> bool:
    value = span.attributes[str(text).rpartition(".")[2]]
    assert isinstance(value, bool)
    return value


def _key(pattern: Pattern, span: PlainSpan) -> tuple[Any, ...] | None:
    parts: list[Any] = []
    for name in pattern.same:
        value: Any = span.trace_id
        if name != "trace":
            value = span.attributes.get(name.partition(".")[2])
        if not isinstance(value, str | int | bool):
            return None
        parts.append((type(value), value))
    return tuple(parts)


def _word(holds: bool) -> Result:
    return "satisfied" if holds else "violated"


def _order(span: PlainSpan) -> tuple[int, int, str, str]:
    return span.start, span.end, span.span_id, span.trace_id
