"""One rule ready to be judged by, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from pydantic import JsonValue

from sandbox.model.rule import Rule, RuleResult, Waiver
from sandbox.rules.cel import Expression, Facts, Truth, Verdict
from sandbox.rules.facts import values_read
from sandbox.rules.mentions import Path, path_of
from sandbox.rules.pattern import CompiledPattern, PatternTruth
from sandbox.rules.reads import Reads, joined, reads_of

Ask = Callable[[Facts], Truth | PatternTruth | None]
"""Says what is required of a span, with the values in force; None if nothing is."""


class RuleOutcome(NamedTuple):
    """What one rule says of one span."""

    rule: str
    result: RuleResult
    overlay: str
    """Label of the exception that held; empty where the rule itself did."""
    rulebook_version: int
    reason: str
    """Why it is not evaluable, when it is not."""
    mentions: tuple[Path, ...]
    """The fields the rule and its exception ask for."""
    facts: Facts
    """What they were asked of."""
    found: dict[str, JsonValue] = {}
    """What a pattern found among other spans."""

    @property
    def values(self) -> dict[str, JsonValue]:
        """What was read, for example `span.duration_s` and `params.max_offer_s`."""
        return values_read(self.mentions, self.facts) | self.found


class CompiledWaiver(NamedTuple):
    """An exception with its expression."""

    waiver: Waiver
    under: Expression


class CompiledRule(NamedTuple):
    """A rule with its expressions, and what they mention."""

    rule: Rule
    applies: Expression
    requires: Expression | None
    """None where there is a pattern."""
    verdict: Verdict | None
    """Both at once; None where there is a pattern."""
    pattern: CompiledPattern | None
    overlay: CompiledWaiver | None
    mentions: tuple[Path, ...]
    reads: Reads


def compiled_rule(
    rule: Rule, overlay: CompiledWaiver | None, also: Sequence[str] = ()
) -> CompiledRule:
    """Return a rule with its expressions compiled.

    Args:
        rule: The rule.
        overlay: The exception to it, if any.
        also: Fields to be kept with what it says, besides those it mentions.
    """
    applies = Expression(rule.applies, rule.about)
    requires = Expression(rule.requires, rule.about) if rule.requires else None
    pattern = CompiledPattern(rule.pattern) if rule.pattern else None
    under = overlay.under.mentions if overlay else ()
    last = requires or pattern
    mentions = (*applies.mentions, *under, *(last.mentions if last else ()))
    mentions += tuple(map(path_of, also))
    asked = [applies, *([requires] if requires else [])]
    asked += [overlay.under] if overlay else []
    asked += pattern.predicates.values() if pattern else []
    return CompiledRule(
        rule,
        applies,
        requires,
        Verdict(applies, requires, rule.about) if requires else None,
        pattern,
        overlay,
        mentions=tuple(dict.fromkeys(mentions)),
        reads=joined(reads_of(item.tree) for item in asked),
    )
