"""What do the rules about Kubernetes objects say of objects that are to be, or are?

Rules of this module:

* The result is that of the engine that judges spans; admission policies rendered from
  the same rules say the same.
* Not evaluable is an objection too: never is it taken for satisfied.
* An objection carries the words a refusal by the cluster carries.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from pydantic import JsonValue

from sandbox.model.instants import unix_nano_of
from sandbox.model.rule import Rule, Rulebook, TemporaryRule
from sandbox.rules.compiled import RuleOutcome
from sandbox.rules.expression import CompiledRules, compile_rules
from sandbox.rules.history import values_in_force
from sandbox.rules.rulebook import refusal_words

Operation = Literal["CREATE", "UPDATE"]
CREATION: tuple[Operation, ...] = ("CREATE",)
"""What the objects of a system are sent for at first."""
CHANGE: tuple[Operation, ...] = ("CREATE", "UPDATE")
"""What those of another version are sent for: some are new, some are there."""

_ALL = "*"


class Sent(NamedTuple):
    """An object as it is sent to the cluster, or as it stands there."""

    title: str
    """As people write it: `Deployment front`."""
    resource: str
    """Plural, in lower case: `deployments`."""
    body: dict[str, JsonValue]


class Objection(NamedTuple):
    """What one rule has against one object."""

    title: str
    rule: str
    is_violated: bool
    """Or else it cannot be told, which counts the same."""
    words: str
    """Of the rule with the values in force, its source and its name."""
    reason: str
    """Why it cannot be told; empty where it is violated."""

    @property
    def remedy(self) -> str:
        """What can be done about it."""
        if not self.is_violated:
            return "Write out in the manifest what the rule reads"
        return (
            "Change the manifest, or ask for an exception to the rule under"
            " `collides_with`"
        )

    def sentence(self) -> str:
        """Return the objection for a person, without the object."""
        untold = f" It cannot be told: {self.reason}." if self.reason else ""
        return f"{self.words}{untold}"


def rules_about_objects(rulebook: Rulebook) -> tuple[Rule, ...]:
    """Return the rules of a version that are about Kubernetes objects."""
    return tuple(item for item in rulebook.rules if item.about == "object")


def objections(
    rulebook: Rulebook,
    sent: Sequence[Sent],
    *,
    at: datetime,
    temporary_rule: TemporaryRule | None = None,
    operations: Collection[Operation] = CREATION,
) -> tuple[Objection, ...]:
    """Return everything the rules have against some objects, object by object.

    Args:
        rulebook: The version in force.
        sent: The objects.
        at: The instant; its day decides about dated values.
        temporary_rule: The overlay of the trial.
        operations: What the objects are sent for; a rule that is about none of these
            says nothing.

    Raises:
        RuleError: The rulebook is not sound, or the overlay does not fit it.
    """
    rules = {item.rule: item for item in rules_about_objects(rulebook)}
    if not rules:
        return ()
    compiled = compile_rules(rulebook, temporary_rule, about="object")
    return tuple(
        _objection(item, rules[outcome.rule], outcome, at, temporary_rule)
        for item in sent
        for outcome in _outcomes(compiled, item, at)
        if outcome.result != "satisfied"
        and _is_about(rules[outcome.rule], item, operations)
    )


def _outcomes(
    compiled: CompiledRules, item: Sent, at: datetime
) -> Iterator[RuleOutcome]:
    start = unix_nano_of(at)
    yield from compiled.judge_facts(item.body, start_unix_nano=start, at=at.date())


def _is_about(rule: Rule, item: Sent, operations: Collection[Operation]) -> bool:
    match = rule.objects
    if match is None or not set(match.operations) & set(operations):
        return False
    group, _, version = str(item.body.get("apiVersion", "")).rpartition("/")
    return all(
        _ALL in accepted or asked in accepted
        for accepted, asked in (
            (match.api_groups, group),
            (match.api_versions, version),
            (match.resources, item.resource),
        )
    )


def _objection(
    item: Sent,
    rule: Rule,
    outcome: RuleOutcome,
    at: datetime,
    temporary_rule: TemporaryRule | None,
) -> Objection:
    overlays = temporary_rule.overlays if temporary_rule else ()
    held = next((one for one in overlays if one.label == outcome.overlay), None)
    values = values_in_force(rule, at.date(), held)
    given = {one.name: one.value for one in values}
    words = refusal_words(rule, given, outcome.overlay)
    is_violated = outcome.result == "violated"
    reason = "" if is_violated else outcome.reason
    return Objection(item.title, rule.rule, is_violated, words, reason)
