"""Random tracks of spans for patterns: with ties, redeliveries, gaps, missing values.

Rules of this module:

* The same chance gives the same tracks.
* Tracks have nothing in common with each other, so that many can be judged at once.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from sandbox.model.pattern import Pattern
from sandbox.rules import CompiledRules, Known, judge_tracks
from sandbox.testing.patterns import SECOND, PlainKnown, PlainSpan
from sandbox.testing.rules import one_pattern

_SHAPES: tuple[dict[str, Any], ...] = (
    {"every": "p", "preceded_by": "q", "within": "2s"},
    {"every": "p", "preceded_by": "q"},
    {"every": "p", "followed_by": "q", "within": "2s"},
    {"every": "p", "followed_by": "q"},
    {"every": "p", "followed_by": "q", "within": "9s"},
    {"at_most": 1, "of": "p", "per": "2s"},
    {"at_most": 0, "of": "p", "per": "1s"},
    {"at_most": 2, "of": "p", "per": "4s"},
    {"never": "p"},
    {"always": "p"},
    {"never": "p", "between": {"from": "q", "to": "r"}},
    {"always": "p", "between": {"from": "q", "to": "r"}},
    {"never": "q", "between": {"from": "r", "to": "p"}},
)
_SAME = (["trace"], ["attributes.k"], ["trace", "attributes.k"])
_KNOWN = (
    PlainKnown(10**6, 3),
    PlainKnown(4, 3),
    PlainKnown(7, 3, ((1, 2),)),
    PlainKnown(9, 3, ((6, 9),)),
    PlainKnown(12, 3, ((0, 3), (5, 5))),
    PlainKnown(10**6, 3, ((4, 4),)),
)
_BEGIN = 1_750_000_000
"""Tracks begin then, in seconds since 1970."""


class Tracks(NamedTuple):
    """Random tracks under one pattern."""

    pattern: Pattern
    rules: CompiledRules
    """A rulebook of the one rule `r` with the pattern."""
    tracks: tuple[tuple[PlainSpan, ...], ...]
    known: PlainKnown

    @property
    def spans(self) -> list[PlainSpan]:
        """All spans, in the order in which they were delivered."""
        return [span for track in self.tracks for span in track]


def random_tracks(chance: random.Random, count: int) -> Iterator[Tracks]:
    """Yield tracks under every shape of pattern, `count` of them in all or a few more.

    Args:
        chance: Where they come from.
        count: How many tracks.
    """
    patterns = list(_patterns())
    each = -(-count // (len(patterns) * len(_KNOWN)))
    for pattern in patterns:
        rules = one_pattern(pattern.model_dump(by_alias=True, exclude_none=True))
        for known in _KNOWN:
            tracks = tuple(_track(chance, number) for number in range(each))
            begun = tuple((a + _BEGIN, b + _BEGIN) for a, b in known.gaps)
            moved = PlainKnown(known.until + _BEGIN, known.settling, begun)
            yield Tracks(pattern, rules, tracks, moved)


def judged(asked: Tracks) -> dict[tuple[str, str], str]:
    """Return what the product says of each span, in the form of the reference."""
    spans = asked.spans
    found = {(span.trace_id, span.span_id): "none" for span in spans}
    facts = [span.facts() for span in spans]
    for place, outcome in judge_tracks(asked.rules, facts, known=exactly(asked.known)):
        name = spans[place].trace_id, spans[place].span_id
        assert found[name] == "none", "a unit is judged twice"
        found[name] = outcome.result
    return found


def exactly(known: PlainKnown) -> Known:
    """Return what is known in nanoseconds."""
    gaps = tuple((a * SECOND, b * SECOND) for a, b in known.gaps)
    return Known(known.until * SECOND, known.settling * SECOND, gaps)


def request_of(spans: Sequence[PlainSpan]) -> bytes:
    """Return spans as an OTLP request."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for span in spans:
        made = scope.spans.add(
            trace_id=bytes.fromhex(span.trace_id),
            span_id=bytes.fromhex(span.span_id),
            name="n",
            start_time_unix_nano=span.start * SECOND,
            end_time_unix_nano=span.end * SECOND,
        )
        for key, value in span.attributes.items():
            field = {bool: "bool", int: "int", float: "double", str: "string"}
            said = made.attributes.add(key=key).value
            setattr(said, f"{field[type(value)]}_value", value)
    return request.SerializeToString()


def _patterns() -> Iterator[Pattern]:
    for shape in _SHAPES:
        for same in _SAME:
            told = {**_spelled(shape), "same": same}
            alone = "between" not in shape and ("never" in shape or "always" in shape)
            unending = "followed_by" in shape and "within" not in shape
            if (alone and same != ["trace"]) or (unending and "trace" not in same):
                continue
            yield Pattern.model_validate(told)


def _spelled(shape: Any) -> Any:
    """Return a shape with its letters as attributes of spans."""
    if isinstance(shape, dict):
        return {key: _spelled(value) for key, value in shape.items()}
    return f"span.attributes.{shape}" if shape in ("p", "q", "r") else shape


def _track(chance: random.Random, number: int) -> tuple[PlainSpan, ...]:
    spans = [_span(chance, number, place) for place in range(chance.randint(1, 5))]
    spans += [span for span in spans if chance.random() < 0.1]
    chance.shuffle(spans)
    return tuple(spans)


def _span(chance: random.Random, track: int, place: int) -> PlainSpan:
    attributes: dict[str, Any] = {}
    for name in "pqr":
        drawn = chance.random()
        if drawn < 0.93:
            attributes[name] = chance.random() < 0.5
        elif drawn < 0.96:
            attributes[name] = "text"
    if chance.random() < 0.95:
        attributes["k"] = chance.choice((track, track, str(track), 1.5))
    start = _BEGIN + chance.randint(0, 6)
    return PlainSpan(
        span_id=f"{track:012x}{place:04x}",
        trace_id=f"{track:030x}{chance.choice(('0a', '0a', '0b'))}",
        start=start,
        end=start + chance.choice((0, 0, 1)),
        attributes=attributes,
    )
