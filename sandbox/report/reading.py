"""What rules read of the spans of a trace, to be shown beside what they say.

Rules of this module:

* The rules are asked again, on the span as it is recorded. If they say something else
  than the answer does, the answer was not drawn from these rules and this evidence, and
  nothing is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

from pydantic import JsonValue

from sandbox.errors import EvidenceError, RuleError
from sandbox.model.rule import Rule, Rulebook
from sandbox.model.trace import RecordedSpan, SpanAnswer
from sandbox.monitor.observe import span_start
from sandbox.query.wording import place_words
from sandbox.rules import CompiledRules, rule_named, text_in_force


class RuleReading(NamedTuple):
    """What a rule says in words, and what it read of one span."""

    text: str = ""
    """The words of the rule, with the rulebook's values of the span's day."""
    values: Mapping[str, JsonValue] = {}
    """What it read, for example `span.duration_s` and `params.max_offer_s`."""


Readings = Mapping[tuple[str, str], RuleReading]
"""(place of the span, rule) → what the rule read there."""


def read_rules(
    answer: SpanAnswer, rules: CompiledRules, rulebook: Rulebook
) -> Readings:
    """Return what each rule read of each span of an answer.

    Args:
        answer: The spans, with what the rules say of them.
        rules: The rules of the trial.
        rulebook: The rulebook they come from.

    Raises:
        EvidenceError: The rules say something else of a span than the answer does.
    """
    found: dict[tuple[str, str], RuleReading] = {}
    for item in answer.spans:
        at = span_start(item.span).date()
        outcomes = rules.judge(item.span, at=at) if item.verdicts else []
        _check_same(item, {one.rule: one.result for one in outcomes})
        for one in outcomes:
            text = _words(rule_named(rulebook, one.rule), at)
            found[place_words(item), one.rule] = RuleReading(text, one.values)
    return found


def _words(rule: Rule, at: date) -> str:
    try:
        return text_in_force(rule, at)
    except RuleError:
        # A span of a day before the rule, for example one whose start was never set.
        return rule.text


def _check_same(item: RecordedSpan, judged: Mapping[str, str]) -> None:
    said = {one.rule: one.result for one in item.verdicts}
    if said and said != judged:
        raise EvidenceError(
            f"the answer says {said} of the span at {place_words(item)}, the rules of"
            f" the trial say {judged}; remove the files derived from the evidence, so"
            " that they are made again"
        )
