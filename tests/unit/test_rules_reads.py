"""The engine is given what an expression can read, and nothing else."""

from __future__ import annotations

import random
from typing import Any

import pytest

from sandbox.rules.cel import Expression, Facts
from sandbox.rules.facts import span_facts
from sandbox.rules.reads import ALL, Reads, joined, reads_of
from sandbox.testing.differential import PARAMS, spans_of
from sandbox.testing.random_rules import random_expressions, random_request


def reads(text: str) -> Reads:
    return reads_of(Expression(text).tree)


def test_same_answers() -> None:
    """Of random expressions and spans the answer is the same, with its reason, whether
    the engine sees the whole span or what can be read of it, once or prepared.
    """
    chance = random.Random(5)
    spans = [
        span_facts(span) for span in spans_of([random_request(chance, 12)]).values()
    ]
    for expression in random_expressions(chance, 150):
        chosen = reads_of(expression.tree)
        for span in spans:
            whole = expression.evaluate(Facts(span, PARAMS))
            assert expression.evaluate(Facts(span, PARAMS, reads=chosen)) == whole
            once = Facts(span, PARAMS, reads=chosen, once=True)
            assert expression.evaluate(once) == whole


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("params.a == 1.0", Reads()),
        ('span.name == "a"', Reads(frozenset({"name"}))),
        ("has(span.attributes.a)", Reads(frozenset({"attributes"}), frozenset("a"))),
        (
            '"a" in span.resource',
            Reads(frozenset({"resource"}), resource=frozenset("a")),
        ),
        ("size(span.attributes) == 1", Reads(frozenset({"attributes"}), None)),
        (
            "span.attributes[span.name] == 1",
            Reads(frozenset({"attributes", "name"}), None),
        ),
        ("size(span) == 1", ALL),
        ('{"a": span.name}["a"] == "x"', ALL),
        ("[1].map(x, span.name)[0] == 1", Reads(frozenset({"name"}))),
        ("[1].filter(x, has(span.kind)).size() == 1", Reads(frozenset({"kind"}))),
        ("[1].exists_one(x, span.name == x)", Reads(frozenset({"name"}))),
    ],
)
def test_reads(text: str, expected: Reads) -> None:
    """Fields and attributes that are named are given alone, maps that are asked as a
    whole are given whole.
    """
    assert reads(text) == expected


def test_hidden_names() -> None:
    """An attribute whose name has NUL in it does not exist to rules."""
    span: dict[str, Any] = {"attributes": {"a\0": 1, "b": 2}}
    for text in ("has(span.attributes.a)", "size(span.attributes) == 2"):
        for chosen in (ALL, reads(text)):
            facts = Facts(span, {}, reads=chosen)
            assert Expression(text).evaluate(facts).value is False


def test_joined() -> None:
    """Several expressions together are given what any of them can read."""
    one, other = reads("span.attributes.a == 1"), reads("size(span.resource) == 1")
    assert joined([one, other]) == Reads(
        frozenset({"attributes", "resource"}), frozenset("a"), None
    )
