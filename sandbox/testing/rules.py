"""A rulebook of one rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
    return _alone(rule, {"applies": applies, "requires": requires})


def one_pattern(
    pattern: Mapping[str, Any],
    *,
    applies: str = "true",
    parameters: Mapping[str, Any] | None = None,
) -> CompiledRules:
    """Return a rulebook of the one rule `r` with a pattern, compiled.

    Args:
        pattern: As a document has it.
        applies: Where the rule applies.
        parameters: As a document has them.
    """
    asks = {"applies": applies, "pattern": dict(pattern)}
    return _alone("r", {**asks, "parameters": dict(parameters or {})})


def _alone(rule: str, asks: Mapping[str, Any]) -> CompiledRules:
    return compile_rules(rulebook_of(rule, asks))


def rulebook_of(rule: str, asks: Mapping[str, Any]) -> Rulebook:
    """Return a rulebook of one rule.

    Args:
        rule: Its name.
        asks: Fields of the rule that matter; the others are filled in.
    """
    only = {
        "rule": rule,
        "text": "…",
        "source": {"instrument": "I", "provision": "P", "as_of": "2024-01-01"},
        "goal": "g",
        "mechanism": "regulation",
        "severity": "major",
        "waivable": True,
        **asks,
    }
    book = {
        "rulebook": "b",
        "version": 1,
        "title": "B",
        "owner": "o",
        "in_force_from": "1970-01-01",
        "rules": [only],
    }
    return Rulebook.model_validate(book)
