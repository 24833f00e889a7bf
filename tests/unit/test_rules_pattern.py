"""Rules with patterns: what is said of spans together."""

from __future__ import annotations

import random
from typing import Any

import pytest

from sandbox.model.pattern import Pattern
from sandbox.rules import CompiledRules, Known, judge_tracks
from sandbox.testing.patterns import (
    SECOND,
    PlainKnown,
    PlainSpan,
    reference_results,
)
from sandbox.testing.rules import one_pattern

LONG_AGO = PlainKnown(until=10**6, settling=3)
SHAPES: tuple[dict[str, Any], ...] = (
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
KEYS = (["trace"], ["attributes.k"], ["trace", "attributes.k"])
SEEN = 400
"""Random tracks in the fast lane; the whole number is tested with the engines."""


def spelled(shape: Any) -> Any:
    """Return a shape with its letters as attributes of spans."""
    if isinstance(shape, dict):
        return {key: spelled(value) for key, value in shape.items()}
    return f"span.attributes.{shape}" if str(shape) in "pqr" else shape


def random_case(seed: int) -> tuple[Pattern, list[PlainSpan], PlainKnown]:
    """Return a pattern and spans with ties, redeliveries, gaps and missing values."""
    chance = random.Random(seed)
    shape = spelled(chance.choice(SHAPES))
    same = chance.choice(KEYS)
    if "between" in shape or "every" in shape or "of" in shape:
        shape["same"] = same
    if "followed_by" in shape and "within" not in shape:
        shape["same"] = ["trace"]
    spans = [random_span(chance, number) for number in range(chance.randint(1, 5))]
    spans += [span for span in spans if chance.random() < 0.1]
    chance.shuffle(spans)
    begin = chance.randint(0, 9)
    gaps = ((begin, begin + chance.randint(0, 3)),) if chance.random() < 0.3 else ()
    until = chance.choice((4, 7, 9, 12, 10**6))
    return Pattern.model_validate(shape), spans, PlainKnown(until, 3, gaps)


def random_span(chance: random.Random, number: int) -> PlainSpan:
    attributes: dict[str, Any] = {}
    for name in "pqr":
        drawn = chance.random()
        if drawn < 0.92:
            attributes[name] = chance.random() < 0.5
        elif drawn < 0.96:
            attributes[name] = "text"
    if chance.random() < 0.95:
        attributes["k"] = chance.choice((1, 1, "1", True, 1.5))
    start = chance.randint(0, 6)
    end = start + chance.choice((0, 0, 1))
    return PlainSpan(
        f"{number:016x}", chance.choice("aab") * 32, start, end, attributes
    )


def compiled(pattern: Pattern) -> CompiledRules:
    return one_pattern(pattern.model_dump(by_alias=True, exclude_none=True))


def fast_results(
    pattern: Pattern, spans: list[PlainSpan], known: PlainKnown
) -> dict[tuple[str, str], str]:
    """Return what the product says, in the form of the reference."""
    found = {(span.trace_id, span.span_id): "none" for span in spans}
    scaled = Known(
        known.until * SECOND,
        known.settling * SECOND,
        tuple((a * SECOND, b * SECOND) for a, b in known.gaps),
    )
    facts = [span.facts() for span in spans]
    for place, outcome in judge_tracks(compiled(pattern), facts, known=scaled):
        name = spans[place].trace_id, spans[place].span_id
        assert found[name] == "none"
        found[name] = outcome.result
    return found


@pytest.mark.parametrize("seed", range(SEEN))
def test_agrees_with_the_reference(seed: int) -> None:
    """On random spans the result is that of the slow and plain reading."""
    pattern, spans, known = random_case(seed)
    wanted = reference_results(pattern, spans, known)
    assert fast_results(pattern, spans, known) == wanted, (pattern, spans, known)
