"""What do the rules with patterns say of many spans together?

Rules of this module:

* A span counts once, however often it was delivered: the first by start, end and ids.
* Every predicate is asked with the parameters that are in force for the unit, also of
  other spans: a unit is judged by one set of values.
* A unit that lacks a key of `same` is not evaluable; another span that lacks it belongs
  to no track.
* What `at_most` counts are spans to which the rule applies and that `of` holds of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from sandbox.model.pattern import Pattern
from sandbox.rules.cel import Facts, Truth
from sandbox.rules.compiled import CompiledRule, RuleOutcome
from sandbox.rules.expression import CompiledRules
from sandbox.rules.pattern import (
    CompiledPattern,
    Known,
    PatternTruth,
    Track,
    Truths,
    judge_unit,
)

SpanFacts = Mapping[str, Any]
"""A span as `span_facts` gives it."""
Key = tuple[tuple[str, Any], ...]
"""What the spans of a track have in common: type and value of each key."""

_KEY_TYPES = {str: "string", int: "int", bool: "bool"}
_Values = tuple[tuple[str, float], ...]


class UnitOutcome(NamedTuple):
    """What a rule with a pattern says of one span."""

    place: int
    """Which of the spans given."""
    outcome: RuleOutcome


def judge_tracks(
    rules: CompiledRules, spans: Sequence[SpanFacts], *, known: Known
) -> Iterator[UnitOutcome]:
    """Yield what every rule with a pattern says of its units among the spans.

    Args:
        rules: Rulebook and overlay, compiled.
        spans: All spans that were recorded, in any order, redeliveries included.
        known: Of which times all spans are known.

    Returns:
        Rule after rule, units in order of their track.
    """
    order = in_order(spans)
    for item in rules.patterns:
        assert item.pattern is not None
        for key, places in tracks_of(item.pattern.pattern, spans, order).items():
            track = _Track(item, [spans[place] for place in places])
            for number, place in enumerate(places):
                ask = partial(track.ask, number, key, known)
                outcome = rules.judge_unit(item, spans[place], ask)
                if outcome is not None:
                    yield UnitOutcome(place, outcome)


def in_order(spans: Sequence[SpanFacts]) -> list[int]:
    """Return the places of the spans in order, each span once."""
    order = sorted(range(len(spans)), key=lambda place: _order(spans[place]))
    first: dict[tuple[str, str], int] = {}
    for place in order:
        first.setdefault((spans[place]["trace_id"], spans[place]["span_id"]), place)
    return list(first.values())


def tracks_of(
    pattern: Pattern, spans: Sequence[SpanFacts], order: Sequence[int]
) -> dict[Key | None, list[int]]:
    """Return the tracks of some spans: places by what they have in common.

    Args:
        pattern: Its `same` says what.
        spans: The spans.
        order: Places of those that count, in order.

    Returns:
        Under None those that lack a key.
    """
    found: dict[Key | None, list[int]] = {}
    for place in order:
        found.setdefault(key_of(pattern, spans[place]), []).append(place)
    return found


def key_of(pattern: Pattern, span: SpanFacts) -> Key | None:
    """Return what a span has of the keys of `same`; None if it lacks one."""
    parts = [_part(name, span) for name in pattern.same]
    whole = tuple(part for part in parts if part is not None)
    return whole if len(whole) == len(parts) else None


def _part(name: str, span: SpanFacts) -> tuple[str, Any] | None:
    if name == "trace":
        return "trace", span["trace_id"]
    scope, _, key = name.partition(".")
    value = span[scope].get(key)
    kind = _KEY_TYPES.get(type(value))
    return (kind, value) if kind else None


def _order(span: SpanFacts) -> tuple[int, int, str, str]:
    ends = span["start_unix_nano"], span["end_unix_nano"]
    return *ends, span["span_id"], span["trace_id"]


class _Track:
    """The spans that belong together, asked with the values of each unit."""

    def __init__(self, item: CompiledRule, spans: Sequence[SpanFacts]) -> None:
        assert item.pattern is not None
        self._item = item
        self._pattern: CompiledPattern = item.pattern
        self._spans = spans
        self._starts = [span["start_unix_nano"] for span in spans]
        self._facts: dict[_Values, list[Facts]] = {}
        self._truths: dict[tuple[str, _Values], Truths] = {}

    def ask(
        self, place: int, key: Key | None, known: Known, facts: Facts
    ) -> PatternTruth | None:
        """Return what the pattern says of the span at a place."""
        if key is None:
            return self._alone(facts)
        values = facts.params
        named = tuple(sorted(values.items()))
        last = self._starts[-1] if self._pattern.ends else None
        track = Track(self._starts, partial(self._of, named), last)
        return judge_unit(self._pattern, track, place, values, known=known)

    def _alone(self, facts: Facts) -> PatternTruth | None:
        """Answer for a span of which it is unknown what it belongs with."""
        is_unit = [
            self._said(name, facts).value
            for name in ("every", "of")
            if name in self._pattern.predicates
        ]
        if False in is_unit:
            return None
        lacks = " or ".join(f"`{name}`" for name in self._pattern.pattern.same)
        reason = f"it lacks {lacks}, so it is unknown which spans belong with it"
        return PatternTruth(None, reason)

    def _of(self, named: _Values, name: str) -> Truths:
        found = self._truths.get((name, named))
        if found is None:
            said = [self._said(name, facts) for facts in self._all(named)]
            found = self._truths[name, named] = _truths(said)
        return found

    def _all(self, named: _Values) -> list[Facts]:
        if named not in self._facts:
            values = dict(named)
            reads = self._item.reads
            self._facts[named] = [
                Facts(span, values, reads=reads) for span in self._spans
            ]
        return self._facts[named]

    def _said(self, name: str, facts: Facts) -> Truth:
        said = self._pattern.predicates[name].evaluate(facts)
        if name != "of" or said.value is False:
            return said
        applies = self._item.applies.evaluate(facts)
        return said if applies.value else applies


def _truths(said: Sequence[Truth]) -> Truths:
    values = [item.value for item in said]
    return Truths(
        tuple(said),
        tuple(place for place, value in enumerate(values) if value),
        tuple(place for place, value in enumerate(values) if value is None),
    )
