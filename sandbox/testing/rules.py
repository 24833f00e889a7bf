"""A rulebook of one rule."""

from __future__ import annotations

from sandbox.model.rule import Rulebook
from sandbox.rules import CompiledRules, compile_rules


def one_rule(
    requires: str = "true", *, rule: str = "r", applies: str = "true"
) -> CompiledRules:
    """Return a rulebook of one rule, compiled.

    Args:
        requires: What the rule requires.
        rule: Its name.
        applies: Where it applies.
    """
    only = {
        "rule": rule,
        "text": "…",
        "source": {"instrument": "I", "provision": "P", "as_of": "2024-01-01"},
        "goal": "g",
        "mechanism": "regulation",
        "applies": applies,
        "requires": requires,
        "severity": "major",
        "waivable": True,
    }
    book = {
        "rulebook": "b",
        "version": 1,
        "title": "B",
        "owner": "o",
        "in_force_from": "2024-01-01",
        "rules": [only],
    }
    return compile_rules(Rulebook.model_validate(book))
