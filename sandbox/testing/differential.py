"""The same rules asked of the same spans: span by span, and in an engine's SQL.

Rules of this module:

* The engine that judges span by span is right by definition.
* Spans take the product's own way: recorded frames, derived, arranged, written as a
  Parquet file.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from sandbox.model.observation import Span
from sandbox.query import Origin, Source, arrange, derive, origin_of, promoted
from sandbox.query.dialects import SqlDialect
from sandbox.query.predicates import Predicate, predicate_sql
from sandbox.query.typed import TRUE
from sandbox.recorder import Frame
from sandbox.recorder.spans import spans_in
from sandbox.rules import CompiledRules
from sandbox.rules.cel import Expression, Facts, Truth
from sandbox.rules.facts import span_facts
from sandbox.testing.random_rules import random_expressions, random_request

RECEIVED_AT = datetime(2026, 1, 1, tzinfo=UTC)
PARAMS = {"limit": 2.0, "big": 1e300}
_MANY = 20_000
"""Pairs from which they are asked in large batches."""

NO_RULES = CompiledRules((), version=1, overlay=None)

Answer = bool | None
Ask = Callable[[str, Path, Origin], Sequence[Sequence[Any]]]
"""Asks an engine for columns, given as SQL, of every row of a derived file."""
Write = Callable[[pa.Table, Origin], Path]
"""Writes a derived file."""


class DerivedSpans(NamedTuple):
    """A derived file, and the spans in it by their place."""

    path: Path
    origin: Origin
    spans: dict[tuple[int, int], Span]
    """By frame, and number in the frame."""


class Difference(NamedTuple):
    """A rule and a span of which two engines say different things."""

    expression: str
    span: Span
    expected: Truth
    found: Answer
    sql: str


class Tally(NamedTuple):
    """What came of asking two engines the same."""

    answers: Counter[Answer]
    """How often each answer was given on which both were asked."""
    unsure: int
    """Pairs that the SQL left to the other engine."""
    outside: int
    """Rules that were not put into SQL."""
    differences: tuple[Difference, ...]

    @property
    def pairs(self) -> int:
        """How many rules and spans were compared."""
        return self.answers.total()


def differences(
    chance: random.Random,
    pairs: int,
    *,
    write: Write,
    asking: Sequence[tuple[SqlDialect, Ask]],
) -> list[Tally]:
    """Return what each engine says of random rules and spans, beside what is right.

    Args:
        chance: Where rules and spans come from.
        pairs: How many rules and spans each engine is to answer at the least.
        write: Writes a derived file.
        asking: Each engine with its words.
    """
    found = [Tally(Counter(), 0, 0, ()) for _ in asking]
    spans, count = (50, 50) if pairs >= _MANY else (10, 25)
    while min(tally.pairs for tally in found) < pairs:
        requests = [random_request(chance, spans) for _ in range(10)]
        derived = derive_requests(requests, write)
        rules = list(random_expressions(chance, count))
        right = _judged(rules, derived.spans)
        for number, (dialect, ask) in enumerate(asking):
            tally = _compared(rules, derived, right, (dialect, ask))
            found[number] = _added(found[number], tally)
    return found


def derive_requests(
    requests: Sequence[bytes], write: Write, rules: CompiledRules = NO_RULES
) -> DerivedSpans:
    """Write requests as one derived file.

    Args:
        requests: OTLP requests of traces, one for each frame.
        write: Writes the file.
        rules: What spans are judged by.
    """
    frames = _frames(requests)
    table = derive(frames, rules=rules, segment=1)
    arranged = arrange([table], rules=rules.names, always=promoted(rules.mentions))
    origin = origin_of(
        arranged,
        sources=[Source(1, "sha256:" + "0" * 64)],
        rules_digest=rules.digest,
        rules=rules.names,
    )
    path = write(arranged.table, origin)
    return DerivedSpans(path, origin, spans_of(requests))


def spans_of(requests: Sequence[bytes]) -> dict[tuple[int, int], Span]:
    """Return the spans of requests, by frame and number in the frame."""
    return {
        (frame.index, number): span
        for frame in _frames(requests)
        for number, span in enumerate(spans_in(frame))
    }


def _frames(requests: Sequence[bytes]) -> list[Frame]:
    return [_frame(number, payload) for number, payload in enumerate(requests)]


def _frame(number: int, payload: bytes) -> Frame:
    return Frame(
        index=number,
        offset=0,
        signal="traces",
        producer="p",
        received_at=RECEIVED_AT,
        payload=payload,
        sequence=number + 1,
    )


_Right = list[dict[tuple[int, int], Truth]]


def _judged(
    rules: Sequence[Expression], spans: Mapping[tuple[int, int], Span]
) -> _Right:
    facts = {place: Facts(span_facts(span), PARAMS) for place, span in spans.items()}
    return [
        {place: rule.evaluate(fact) for place, fact in facts.items()} for rule in rules
    ]


def _compared(
    rules: Sequence[Expression],
    derived: DerivedSpans,
    right: _Right,
    asked: tuple[SqlDialect, Ask],
) -> Tally:
    dialect, ask = asked
    written = [
        predicate_sql(rule, PARAMS, origin=derived.origin, dialect=dialect)
        for rule in rules
    ]
    columns = [sql for item in written for sql in (item.truth, item.unsure)]
    rows = ask(f"frame, number, {', '.join(columns)}", derived.path, derived.origin)
    answers: Counter[Answer] = Counter()
    found: list[Difference] = []
    for frame, number, *values in rows:
        place = frame, number
        for which, answer in _sure(values):
            answers[answer] += 1
            expected = right[which][place]
            if expected.value is not answer:
                found.append(
                    Difference(
                        rules[which].text,
                        derived.spans[place],
                        expected,
                        answer,
                        written[which].truth,
                    )
                )
    outside = sum(bool(item.outside) for item in written)
    unsure = len(rows) * (len(rules) - _all_unsure(written)) - answers.total()
    return Tally(answers, unsure, outside, tuple(found))


def _sure(values: Sequence[Any]) -> Iterator[tuple[int, Answer]]:
    for which, (truth, unsure) in enumerate(
        zip(values[::2], values[1::2], strict=True)
    ):
        if not unsure:
            yield which, None if truth is None else bool(truth)


def _all_unsure(written: Sequence[Predicate]) -> int:
    return sum(item.unsure == TRUE for item in written)


def _added(one: Tally, other: Tally) -> Tally:
    return Tally(
        one.answers + other.answers,
        one.unsure + other.unsure,
        one.outside + other.outside,
        one.differences + other.differences,
    )
