"""Why does a rule say what it says? The path from the provision to the values read.

Rules of this module:

* The result is that of the engine that judges everything else; nothing is judged twice
  by other means. The steps below it are the parts of the same expressions.
* A step is true, false, or unknown with the reason. A part is looked at by itself, also
  where the whole does not depend on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, NamedTuple

from pydantic import JsonValue

from sandbox.errors import RuleError
from sandbox.model.instants import unix_nano_of
from sandbox.model.record import Record, digest_of
from sandbox.model.rule import (
    About,
    Rule,
    RuleAnswer,
    Rulebook,
    RuleResult,
    RuleSource,
    TemporaryRule,
    Waiver,
)
from sandbox.rules.cel import Expression, Facts
from sandbox.rules.expression import CompiledRules, compile_rules
from sandbox.rules.facts import values_read
from sandbox.rules.history import (
    ValueInForce,
    rules_in_force,
    values_in_force,
)
from sandbox.rules.parts import Joint, Part, parts_of
from sandbox.rules.rulebook import rule_named, text_with

_GIVES: dict[bool, Literal["true", "false"]] = {True: "true", False: "false"}


class Step(Record):
    """One expression or part of one, and what it gives."""

    text: str
    gives: Literal["true", "false", "unknown"]
    reason: str = ""
    """Why it is unknown, when it is."""
    read: dict[str, JsonValue]
    """The values it read."""
    joint: Joint = ""
    """What joins its parts."""
    parts: tuple[Step, ...] = ()


_TOGETHER = (
    "the rule asks for the order of spans, and one span is given; `sandbox rule "
    "backtest` asks it of all that were recorded"
)


class Explanation(Record):
    """What one rule says of one span, and why."""

    rule: str
    answer: RuleAnswer
    reason: str = ""
    """Why it is not evaluable, when it is not."""
    text: str
    """The words with the values that were in force for this span."""
    source: RuleSource
    values: tuple[ValueInForce, ...]
    label: str = ""
    """The exception that held."""
    exception: str = ""
    """The exception there is to the rule at the instant, in words."""
    applies: Step
    under: Step | None = None
    requires: Step | None = None
    """None where the rule says nothing, or has a pattern."""


class Explained(Record):
    """What a version of a rulebook says of one span, and why."""

    rulebook: str
    version: int
    digest: str
    at: datetime
    temporary_rule: str = ""
    rules: tuple[Explanation, ...]


def explain(  # noqa: PLR0913 - of what, by what, and when
    rulebook: Rulebook,
    facts: Mapping[str, JsonValue],
    *,
    at: datetime,
    temporary_rule: TemporaryRule | None = None,
    rule: str = "",
    about: About = "span",
) -> Explained:
    """Return what the rules say of a span or an object, and why.

    Args:
        rulebook: The version to judge by.
        facts: The span, with any of the fields of `rulebook.SPAN_FIELDS`; or the
            object as it would stand in YAML.
        at: When the span starts, or the object is sent: its day decides about dated
            values, the instant about the temporary rule.
        temporary_rule: The overlay of a trial.
        rule: Only this one; all when empty.
        about: What is given; rules about the other kind are left out.

    Raises:
        RuleError: There is no such rule, the rulebook is not sound, or the overlay does
            not fit it.
    """
    asked = [rule_named(rulebook, rule)] if rule else list(rulebook.rules)
    asked = [item for item in asked if item.about == about]
    if rule and not asked:
        raise RuleError(f"`{rule}` is not about a {about}; give what it is about")
    compiled = compile_rules(rulebook, temporary_rule, about=about)
    answers = _answers(compiled, facts, at)
    standing = _exceptions(rulebook, at, temporary_rule)
    return Explained(
        rulebook=rulebook.rulebook,
        version=rulebook.version,
        digest=digest_of(rulebook),
        at=at,
        temporary_rule=temporary_rule.temporary_rule if temporary_rule else "",
        rules=tuple(
            _Setting(item, standing.get(item.rule), facts, at).explanation(
                answers.get(item.rule)
            )
            for item in asked
        ),
    )


class _Said(NamedTuple):
    result: RuleResult
    reason: str


_UNTOLD = _Said("not_evaluable", _TOGETHER)


def _answers(
    compiled: CompiledRules, facts: Mapping[str, JsonValue], at: datetime
) -> dict[str, _Said]:
    start = unix_nano_of(at)
    outcomes = compiled.judge_facts(facts, start_unix_nano=start, at=at.date())
    return {item.rule: _Said(item.result, item.reason) for item in outcomes}


class _Exception(NamedTuple):
    waiver: Waiver
    words: str


def _exceptions(
    rulebook: Rulebook, at: datetime, temporary_rule: TemporaryRule | None
) -> dict[str, _Exception]:
    """Return the exceptions in force at an instant, by rule."""
    in_force = rules_in_force(rulebook, at, temporary_rule=temporary_rule)
    overlays = temporary_rule.overlays if temporary_rule else ()
    waivers = {item.exception_to: item for item in overlays}
    return {
        item.rule: _Exception(waivers[item.rule], item.exception.sentence())
        for item in in_force
        if item.exception is not None
    }


class _Setting(NamedTuple):
    """One rule, the exception to it, and the span it is asked about."""

    rule: Rule
    exception: _Exception | None
    facts: Mapping[str, JsonValue]
    at: datetime

    def explanation(self, said: _Said | None) -> Explanation:
        """Return the path to what was said."""
        waiver = self.exception.waiver if self.exception else None
        under = self._step(waiver.under) if waiver else None
        holds = waiver is not None and under is not None and under.gives == "true"
        values = self._values(waiver if holds else None)
        applies = self._step(self.rule.applies, values)
        answer: RuleAnswer = "does_not_apply" if applies.gives == "false" else "waived"
        requires = None
        is_waived = holds and waiver is not None and waiver.kind == "waiver"
        if self.rule.pattern:
            untold = applies.gives != "false" and not is_waived
            said = _UNTOLD if untold else None
        elif said is not None:
            requires = self._step(self.rule.requires, values)
        if said is not None:
            answer = said.result
        return Explanation(
            rule=self.rule.rule,
            answer=answer,
            reason=said.reason if said else "",
            text=text_with(self.rule, {item.name: item.value for item in values}),
            source=self.rule.source,
            values=values,
            label=waiver.label if waiver and holds else "",
            exception=self.exception.words if self.exception else "",
            applies=applies,
            under=under,
            requires=requires,
        )

    def _values(self, waiver: Waiver | None = None) -> tuple[ValueInForce, ...]:
        return values_in_force(self.rule, self.at.date(), waiver)

    def _step(
        self, expression: str, values: tuple[ValueInForce, ...] | None = None
    ) -> Step:
        given = self._values() if values is None else values
        params = {item.name: item.value for item in given}
        facts = Facts(self.facts, params, self.rule.about)
        return _step(parts_of(expression), facts)


def _step(part: Part, facts: Facts) -> Step:
    expression = Expression(part.text, facts.about)
    truth = expression.evaluate(facts)
    return Step(
        text=" ".join(part.text.split()),
        gives="unknown" if truth.value is None else _GIVES[truth.value],
        reason=truth.reason,
        read=values_read(expression.mentions, facts),
        joint=part.joint,
        parts=tuple(_step(item, facts) for item in part.parts),
    )
