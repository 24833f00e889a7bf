"""Do the rules say of the examples what they must?

Rules of this module:

* An example that names another rulebook, an unknown rule or an exception that does not
  fit is wrong itself: a `Defect` with its place, before anything is run.
* What is found is the answer of `sandbox.rules.explain`, which is that of the engine
  that judges.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple

from pydantic import JsonValue

from sandbox.errors import InputError, RuleError
from sandbox.model.application import Defect
from sandbox.model.document import examine, placed
from sandbox.model.example import Example, ExampleSet
from sandbox.model.instants import at_unix_nano
from sandbox.model.record import Interval, Record, digest_of
from sandbox.model.rule import RuleAnswer, Rulebook, Scope, TemporaryRule
from sandbox.rules.explain import Explanation, explain
from sandbox.rules.overlay import check_overlays
from sandbox.rules.rulebook import reference, rule_named, unknown_rule


class ReadExamples(NamedTuple):
    """Sound examples, and the line at which each stands."""

    examples: tuple[Example, ...]
    lines: tuple[int, ...]


class ExampleResult(Record):
    """What one rule said of one example."""

    example: str
    line: int
    rule: str
    expected: RuleAnswer
    found: RuleAnswer
    reason: str
    """Why it is not evaluable, when it is not."""
    read: dict[str, JsonValue]
    """The values the rule read."""

    @property
    def is_as_expected(self) -> bool:
        """Whether the rule said what it must."""
        return self.expected == self.found


def read_examples(text: str, rulebook: Rulebook, *, file: str) -> ReadExamples:
    """Return the examples of a rulebook from their YAML document.

    Raises:
        InputError: They cannot be read or do not fit; carries every `Defect`.
    """
    reading = examine(text, ExampleSet, file=file, prefix="examples")
    if reading.record is None:
        raise InputError(reading.defects)
    defects = tuple(_check(reading.record, rulebook))
    if defects:
        raise InputError(placed(defects, reading.places, file=file))
    examples = reading.record.examples
    lines = (reading.places[f"examples.{n}"].key.line for n in range(len(examples)))
    return ReadExamples(examples, tuple(lines))


def run_examples(rulebook: Rulebook, read: ReadExamples) -> Iterator[ExampleResult]:
    """Yield what the rules say of every example, one result for each rule named."""
    for example, line in zip(read.examples, read.lines, strict=True):
        for rule, expected in example.expect.items():
            found = _explained(rulebook, example, rule)
            yield ExampleResult(
                example=example.example,
                line=line,
                rule=rule,
                expected=expected,
                found=found.answer,
                reason=found.reason,
                read={
                    **found.applies.read,
                    **(found.under.read if found.under else {}),
                    **(found.requires.read if found.requires else {}),
                },
            )


def instant_of(facts: Mapping[str, JsonValue]) -> datetime | None:
    """Return when a span starts, to the microsecond; None where it is not given."""
    start = facts.get("start_unix_nano")
    if not isinstance(start, int):
        return None
    return at_unix_nano(start)


def _explained(rulebook: Rulebook, example: Example, rule: str) -> Explanation:
    first_day = datetime.combine(rulebook.in_force_from, time(), tzinfo=UTC)
    at = example.at or instant_of(example.facts) or first_day
    overlay = _overlay(rulebook, example, at) if example.overlays else None
    explained = explain(
        rulebook,
        example.facts,
        at=at,
        temporary_rule=overlay,
        rule=rule,
        about=example.about,
    )
    return explained.rules[0]


def _overlay(rulebook: Rulebook, example: Example, at: datetime) -> TemporaryRule:
    return TemporaryRule(
        temporary_rule="trial/example",
        trial_id="example",
        of=reference(rulebook),
        in_force=Interval(start=at, end=at + timedelta(seconds=1)),
        scope=Scope(participants="-", area="-"),
        overlays=example.overlays,
        guardrails=(),
        plan_digest=digest_of(b""),
    )


def _check(examples: ExampleSet, rulebook: Rulebook) -> Iterator[Defect]:
    if examples.rulebook != rulebook.rulebook:
        yield Defect(
            code="examples/other-rulebook",
            what=f"the examples are of {examples.rulebook}, not {rulebook.rulebook}",
            remedy=f"Write `rulebook: {rulebook.rulebook}`, or name another file",
            field="rulebook",
        )
        return
    for number, example in enumerate(examples.examples):
        yield from _check_one(example, f"examples.{number}", rulebook)


def _check_one(example: Example, field: str, rulebook: Rulebook) -> Iterator[Defect]:
    for name in example.expect:
        place = f"{field}.expect.{name}"
        try:
            rule = rule_named(rulebook, name)
        except RuleError as error:
            what, remedy = unknown_rule(error)
            yield Defect(
                code="examples/unknown-rule",
                what=what,
                remedy=remedy,
                field=place,
            )
            continue
        if rule.about != example.about:
            yield Defect(
                code="examples/other-kind",
                what=f"`{name}` is about a {rule.about}, the example has none",
                remedy=f"Give `{rule.about}`, or expect it elsewhere",
                field=place,
            )
    for defect in check_overlays(example.overlays, rulebook):
        yield defect.model_copy(update={"field": f"{field}.{defect.field}"})
