"""Random rules about the order of spans, and random spans that they speak of.

The rules have the parameter `limit`; times are such that spans fall on the edges of
their windows.
"""

from __future__ import annotations

import random
from datetime import datetime
from typing import Any

from sandbox.testing.patterns import PlainSpan
from sandbox.testing.random_tracks import request_of

_SHAPES: tuple[dict[str, Any], ...] = (
    {"every": "", "preceded_by": "", "within": "100s"},
    {"every": "", "preceded_by": ""},
    {"every": "", "followed_by": "", "within": "params.limit"},
    {"every": "", "followed_by": "", "same": ["trace"]},
    {"of": "", "at_most": "params.limit", "per": "90s"},
    {"always": "", "between": {"from": "", "to": ""}},
)
_SAID = (
    "span.attributes.p",
    "span.attributes.q",
    "span.attributes.r && params.limit > 2.5",
    "span.duration_s < params.limit",
)


def random_patterns(chance: random.Random) -> list[dict[str, Any]]:
    """Return one pattern of each shape, each with random predicates."""
    return [{"same": ["attributes.k"], **_filled(chance, shape)} for shape in _SHAPES]


def random_predicate(chance: random.Random) -> str:
    """Return to which spans a rule or an exception applies."""
    return chance.choice(("true", *_SAID))


def random_order(chance: random.Random, about: datetime) -> bytes:
    """Return a request of 85 spans before and after a time; five are sent twice."""
    spans = []
    for number in range(80):
        start = int(about.timestamp()) + 20 * chance.randint(-20, 40)
        attributes: dict[str, Any] = {"k": chance.randint(1, 3)}
        for name in "pqr":
            if chance.random() < 0.95:
                attributes[name] = chance.random() < 0.5
        ids = f"{chance.getrandbits(64):016x}", f"{chance.randint(1, 9):032x}"
        spans.append(PlainSpan(*ids, start, start + number % 4, attributes))
    return request_of([*spans, *chance.sample(spans, 5)])


def _filled(chance: random.Random, shape: Any) -> Any:
    """Return a shape with predicates where it has none."""
    if isinstance(shape, dict):
        return {key: _filled(chance, value) for key, value in shape.items()}
    return chance.choice(_SAID) if shape == "" else shape
