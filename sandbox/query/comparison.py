"""Two versions of the rules, ready to judge the spans of a trial."""

from __future__ import annotations

from typing import NamedTuple

from sandbox.model.comparison import Comparison, Side
from sandbox.rules import CompiledRules, compile_rules, rule_named


class Sides(NamedTuple):
    """Both versions, ready to judge."""

    before: CompiledRules
    after: CompiledRules


def compiled_sides(asked: Comparison) -> Sides:
    """Return both versions of what is asked, with the rules asked for alone.

    Raises:
        RuleError: One is not sound, its exceptions do not fit it, or neither has a rule
            that is asked for.
    """
    for name in asked.rules:
        if all(name != item.rule for item in asked.before.rulebook.rules):
            rule_named(asked.after.rulebook, name)

    def compiled(side: Side) -> CompiledRules:
        return compile_rules(side.rulebook, side.overlay).only(asked.rules)

    return Sides(compiled(asked.before), compiled(asked.after))
