"""Is this span in order? Rules and their overlay, compiled once, judged span by span.

Rules of this module:

* A result is satisfied, violated or not evaluable. An attribute that is missing makes a
  rule not evaluable, never satisfied; also when it is missing from `applies`, where it
  is then unknown whether the rule applies. To ask first whether an attribute is there,
  write `has(…)` or `"key" in span.attributes`.
* An exception beats its parent where its `under` holds, and only while the temporary
  rule is in force: by the instant at which the span starts.
* Where a waiver holds, the rule says nothing and there is no outcome. Where a
  modification holds, its values replace those of the rule.
* An overlay on a red line, on an unknown rule or for another version is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from types import MappingProxyType

from pydantic import JsonValue

from sandbox.errors import RuleError
from sandbox.model.instants import at_unix_nano, unix_nano_of
from sandbox.model.observation import Span
from sandbox.model.record import Interval, digest_of
from sandbox.model.rule import (
    About,
    Rule,
    Rulebook,
    RuleResult,
    TemporaryRule,
)
from sandbox.rules.cel import Expression, Facts, Truth
from sandbox.rules.compiled import (
    Ask,
    CompiledRule,
    CompiledWaiver,
    RuleOutcome,
    compiled_rule,
)
from sandbox.rules.facts import span_facts
from sandbox.rules.mentions import Path
from sandbox.rules.overlay import check_temporary_rule
from sandbox.rules.pattern import PatternTruth
from sandbox.rules.reads import joined
from sandbox.rules.rulebook import (
    check_rulebook,
    parameters_in_force,
)

_VERDICTS = (None, Truth(True), Truth(False))
"""What `Verdict` says; None where the rule does not apply."""


class CompiledRules:
    """A rulebook with the overlay of one trial, ready to judge spans.

    Made by `compile_rules`.
    """

    def __init__(
        self,
        rules: tuple[CompiledRule, ...],
        *,
        version: int,
        overlay: TemporaryRule | None,
        about: About = "span",
    ) -> None:
        self._rules = rules
        self._version = version
        self._about = about
        self._overlay = overlay
        self._from, self._until = _nanoseconds(overlay.in_force if overlay else None)
        self._values: dict[date, list[dict[str, float]]] = {}
        self._reads = joined(item.reads for item in rules)

    @property
    def names(self) -> tuple[str, ...]:
        """The rules that are judged span by span, in rulebook order."""
        return tuple(x.rule.rule for x in self._rules if x.requires is not None)

    @property
    def rules(self) -> tuple[CompiledRule, ...]:
        """The rules with their expressions, in rulebook order."""
        return self._rules

    @property
    def excepted_ns(self) -> tuple[int, int]:
        """From when until when exceptions hold, in nanoseconds since 1970, half-open;
        equal where there are none.
        """
        return self._from, self._until

    @property
    def version(self) -> int:
        """Version of the rulebook."""
        return self._version

    @property
    def mentions(self) -> tuple[Path, ...]:
        """Every field that any rule or exception reads, each once."""
        paths = (path for item in self._rules for path in item.mentions)
        return tuple(dict.fromkeys(paths))

    @property
    def digest(self) -> str:
        """Digest of everything that can change what is said of a span."""
        rules = [item.rule.model_dump(mode="json") for item in self._rules]
        overlay = self._overlay.model_dump(mode="json") if self._overlay else None
        return digest_of([self._version, rules, overlay])

    def only(self, names: Collection[str]) -> CompiledRules:
        """Return these rules alone; those of other names are left out."""
        rules = tuple(item for item in self._rules if item.rule.rule in names)
        return CompiledRules(
            rules, version=self._version, overlay=self._overlay, about=self._about
        )

    def judge(self, span: Span, *, at: date) -> list[RuleOutcome]:
        """Return what every rule that applies says of a span, in rulebook order.

        Args:
            span: What was seen.
            at: The day whose parameter values are in force.
        """
        return self.judge_facts(
            span_facts(span), start_unix_nano=span.start_unix_nano, at=at
        )

    def judge_facts(
        self, facts: Mapping[str, JsonValue], *, start_unix_nano: int, at: date
    ) -> list[RuleOutcome]:
        """Return what every rule that applies says of a span given as its facts.

        Args:
            facts: What `span_facts` gives.
            start_unix_nano: When the span starts.
            at: The day whose parameter values are in force.
        """
        within = self._from <= start_unix_nano < self._until
        made: dict[int, Facts] = {}
        outcomes = []
        for item, values in zip(self._rules, self._on(at), strict=True):
            if item.pattern is not None:
                continue
            given = made.get(id(values))
            if given is None:
                given = made[id(values)] = Facts(
                    facts,
                    values,
                    self._about,
                    reads=self._reads,
                    once=len(self._rules) == 1,
                )
            outcome = self._judge(item, given, within=within)
            if outcome is not None:
                outcomes.append(outcome)
        return outcomes

    @property
    def patterns(self) -> tuple[CompiledRule, ...]:
        """The rules whose results need more than one span; `judge` leaves them out."""
        return tuple(item for item in self._rules if item.pattern is not None)

    def judge_unit(
        self, item: CompiledRule, facts: Mapping[str, JsonValue], ask: Ask
    ) -> RuleOutcome | None:
        """Return what a rule with a pattern says of one span; None if it says nothing.

        Args:
            item: One of `patterns`.
            facts: What `span_facts` gives.
            ask: Says what the pattern holds of the span with the values in force.
        """
        start = facts["start_unix_nano"]
        assert isinstance(start, int)
        day = at_unix_nano(start).date()
        values = self._on(day)[self._rules.index(item)]
        within = self._from <= start < self._until
        given = Facts(facts, values, reads=item.reads)
        return self._judge_one(item, _Reading(given, within=within), ask)

    def _on(self, at: date) -> list[dict[str, float]]:
        """Return the values of each rule; equal ones are one object, so that their
        rules share one reading of the facts.
        """
        if at not in self._values:
            found: list[dict[str, float]] = []
            for item in self._rules:
                values = values_on(item.rule, at)
                found.append(next((one for one in found if one == values), values))
            self._values[at] = found
        return self._values[at]

    def _judge(
        self, item: CompiledRule, facts: Facts, *, within: bool
    ) -> RuleOutcome | None:
        assert item.verdict is not None and item.requires is not None
        if item.overlay is None or not within:
            verdict = item.verdict.evaluate(facts)
            if verdict is not None:
                truth = _VERDICTS[verdict]
                return self._outcome(item, facts, truth, "") if truth else None
        # The reason is asked for step by step.
        reading = _Reading(facts, within=within)
        return self._judge_one(item, reading, item.requires.evaluate)

    def _judge_one(
        self, item: CompiledRule, reading: _Reading, ask: Ask
    ) -> RuleOutcome | None:
        held, label = reading.exception(item.overlay)
        applies = item.applies.evaluate(reading.facts)
        if applies.value is False or (held.value and label and reading.is_waived):
            return None
        said = ask(reading.facts)
        if said is None:
            return None
        if held.value is None:
            reason = f"it is unknown whether `{label}` holds: {held.reason}"
            return self._outcome(item, reading.facts, Truth(None, reason), "")
        if applies.value is None:
            reason = f"it is unknown whether the rule applies: {applies.reason}"
            return self._outcome(item, reading.facts, Truth(None, reason), label)
        return self._outcome(item, reading.facts, said, label)

    def _outcome(
        self,
        item: CompiledRule,
        facts: Facts,
        truth: Truth | PatternTruth,
        label: str,
    ) -> RuleOutcome:
        result: RuleResult = "not_evaluable"
        if truth.value is not None:
            result = "satisfied" if truth.value else "violated"
        return RuleOutcome(
            rule=item.rule.rule,
            result=result,
            overlay=label,
            rulebook_version=self._version,
            reason=truth.reason,
            mentions=item.mentions,
            facts=facts,
            found=truth.read if isinstance(truth, PatternTruth) else {},
        )


class _Reading:
    """One span under one rule: the facts, and which exception holds."""

    __slots__ = ("_within", "facts", "is_waived")

    def __init__(self, facts: Facts, *, within: bool) -> None:
        self.facts = facts
        self.is_waived = False
        self._within = within

    def exception(self, overlay: CompiledWaiver | None) -> tuple[Truth, str]:
        """Return whether an exception holds, and its label if it may."""
        if overlay is None or not self._within:
            return Truth(False), ""
        held = overlay.under.evaluate(self.facts)
        if held.value is False:
            return held, ""
        self.is_waived = overlay.waiver.kind == "waiver"
        if held.value and not self.is_waived:
            values = {**self.facts.params, **overlay.waiver.set}
            self.facts = self.facts.with_params(values)
        return held, overlay.waiver.label


def compile_rules(
    rulebook: Rulebook,
    temporary_rule: TemporaryRule | None = None,
    *,
    about: About = "span",
    also: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> CompiledRules:
    """Return a rulebook and the overlay of one trial, ready to judge.

    Rules about the other kind are left out.

    Args:
        rulebook: The version in force.
        temporary_rule: The overlay of a trial; None judges by the rulebook alone.
        about: What is judged: spans, or Kubernetes objects.
        also: Rule → fields kept with its results besides those it reads, such as
            `span.attributes.arm`.

    Raises:
        RuleError: The rulebook is not sound, or the overlay does not fit it.
    """
    defects = check_rulebook(rulebook)
    if defects:
        raise RuleError("; ".join(item.sentence() for item in defects))
    overlays = _overlays(rulebook, temporary_rule) if temporary_rule else {}
    return CompiledRules(
        tuple(
            compiled_rule(rule, overlays.get(rule.rule), also.get(rule.rule, ()))
            for rule in rulebook.rules
            if rule.about == about
        ),
        version=rulebook.version,
        overlay=temporary_rule,
        about=about,
    )


def _overlays(
    rulebook: Rulebook, temporary_rule: TemporaryRule
) -> dict[str, CompiledWaiver]:
    defects = check_temporary_rule(temporary_rule, rulebook)
    if defects:
        raise RuleError("; ".join(item.sentence() for item in defects))
    about = {rule.rule: rule.about for rule in rulebook.rules}
    return {
        waiver.exception_to: CompiledWaiver(
            waiver, Expression(waiver.under, about[waiver.exception_to])
        )
        for waiver in temporary_rule.overlays
    }


def values_on(rule: Rule, at: date) -> dict[str, float]:
    """Return the values of a rule in force on a day; before the first one, none, so
    that asking for one is not evaluable.
    """
    try:
        return parameters_in_force(rule, at)
    except RuleError:
        return {}


def _nanoseconds(interval: Interval | None) -> tuple[int, int]:
    if interval is None:
        return 0, 0
    return unix_nano_of(interval.start), unix_nano_of(interval.end)
