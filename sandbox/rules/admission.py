"""A rule about Kubernetes objects → a ValidatingAdmissionPolicy that enforces it.

Rules of this module:

* Rendering is pure: the same rules, instant and overlay give the same objects. Values
  in force are written into the expressions; when they change, the policy is rendered
  anew, and what is no longer rendered has to be removed.
* Not evaluable is refused: a missing field is an error there as here, and the failure
  policy is Fail. `&&` and `||` absorb errors there as here.
* A waiver leaves a rule out where its `under` holds; a modification puts its values in
  the place of the rule's there.
* Objects that are being deleted are let through, so that their finalizers can end.

Kubernetes: admissionregistration.k8s.io/v1, ValidatingAdmissionPolicy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sandbox.errors import RuleError
from sandbox.model.record import digest_of
from sandbox.model.rule import Rule, Rulebook, TemporaryRule, Waiver
from sandbox.rules.expression import compile_rules
from sandbox.rules.history import exceptions_in_force
from sandbox.rules.mentions import Token, tokens_of, unquoted
from sandbox.rules.rulebook import parameters_in_force, refusal_words

_API = "admissionregistration.k8s.io/v1"
_TRIAL = "regulatory-sandbox/trial"
"""Label of a trial's namespace; its value is the trial."""
RULES_OF = "regulatory-sandbox/rules-of"
"""Label by which the policies of a trial are found and removed."""
_LONGEST_NAME = 200


def render_admission(
    rulebook: Rulebook,
    trial_id: str,
    *,
    at: datetime,
    temporary_rule: TemporaryRule | None = None,
) -> tuple[dict[str, Any], ...]:
    """Return a policy and its binding for each rule about objects, in rulebook order.

    Args:
        rulebook: The version in force.
        trial_id: In whose namespaces it is enforced.
        at: The instant; its day decides about dated values.
        temporary_rule: The overlay of the trial.

    Raises:
        RuleError: The rulebook is not sound, the overlay does not fit it, or a
            parameter has no value in force.
    """
    compile_rules(rulebook, temporary_rule, about="object")
    overlays = exceptions_in_force(temporary_rule, at)
    found: list[dict[str, Any]] = []
    for rule in rulebook.rules:
        waiver = overlays.get(rule.rule)
        is_waived = waiver is not None and waiver.kind == "waiver"
        if rule.about == "span" or (is_waived and waiver and waiver.under == "true"):
            continue
        name = _name(rulebook, rule, trial_id)
        found.append(_policy(name, trial_id, rule, waiver, at))
        found.append(_binding(name, trial_id))
    return tuple(found)


def _policy(
    name: str, trial_id: str, rule: Rule, waiver: Waiver | None, at: datetime
) -> dict[str, Any]:
    base = parameters_in_force(rule, at.date())
    conditions = {"not-being-deleted": "!has(object.metadata.deletionTimestamp)"}
    words = refusal_words(rule, base)
    waived = waiver is not None and waiver.kind == "waiver"
    if waiver is not None and waived:
        conditions["not-waived"] = f"!{_whole(_with_values(waiver.under, base))}"
    modified = waiver if waiver is not None and not waived else None
    if modified is not None:
        words = refusal_words(rule, {**base, **modified.set}, modified.label)
    conditions["applies"] = _with_values(rule.applies, base)
    if "params" in rule.applies:
        conditions["applies"] = _modified(rule.applies, base, modified)
    return _object(
        "ValidatingAdmissionPolicy",
        name,
        trial_id,
        {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [_resources(rule)]},
            "matchConditions": [
                {"name": key, "expression": value} for key, value in conditions.items()
            ],
            # A message may not have line breaks.
            "validations": [
                {
                    "expression": _modified(rule.requires, base, modified),
                    "message": words,
                }
            ],
        },
    )


def _modified(expression: str, base: Mapping[str, float], waiver: Waiver | None) -> str:
    """Return an expression with the values in force, those of a modification where it
    holds.
    """
    plain = _with_values(expression, base)
    if waiver is None:
        return plain
    changed = _with_values(expression, {**base, **waiver.set})
    if waiver.under == "true":
        return changed
    under = _whole(_with_values(waiver.under, base))
    return f"{under} ? {_whole(changed)} : {_whole(plain)}"


def _whole(expression: str) -> str:
    # A line break ends a comment in which an expression may end.
    return f"({expression}\n)" if "//" in expression else f"({expression})"


def _binding(name: str, trial_id: str) -> dict[str, Any]:
    selector = {"namespaceSelector": {"matchLabels": {_TRIAL: trial_id}}}
    spec = {
        "policyName": name,
        "validationActions": ["Deny"],
        "matchResources": selector,
    }
    return _object("ValidatingAdmissionPolicyBinding", name, trial_id, spec)


def _resources(rule: Rule) -> dict[str, list[str]]:
    if rule.objects is None:
        raise RuleError(f"`{rule.rule}` does not say which objects it is about")
    return {
        "apiGroups": list(rule.objects.api_groups),
        "apiVersions": list(rule.objects.api_versions),
        "operations": list(rule.objects.operations),
        "resources": list(rule.objects.resources),
    }


def _with_values(expression: str, values: Mapping[str, float]) -> str:
    """Return an expression with a number in the place of every parameter."""
    tokens = tokens_of(expression)
    pieces, at = [], 0
    for number, token in enumerate(tokens):
        before = tokens[number - 1].text if number else ""
        if token.kind != "name" or token.text != "params" or before == ".":
            continue
        name, end = _parameter(tokens[number + 1 : number + 4])
        if name not in values:
            raise RuleError(f"`{expression}` asks for a parameter that is computed")
        pieces += [expression[at : token.at], _literal(values[name])]
        at = end
    return "".join([*pieces, expression[at:]])


def _parameter(tokens: list[Token]) -> tuple[str, int]:
    """Return which parameter the tokens after `params` name, and where they end."""
    kinds, texts = [item.kind for item in tokens], [item.text for item in tokens]
    if kinds[:2] == ["sign", "name"] and texts[0] == ".":
        return texts[1], tokens[1].at + len(texts[1])
    if kinds == ["sign", "string", "sign"] and texts[0] + texts[2] == "[]":
        return unquoted(texts[1]), tokens[2].at + 1
    return "", 0


def _literal(value: float) -> str:
    # A double, as `params` holds it: with a sign, it must not join the one before.
    return f"({float(value)!r})"


def _name(rulebook: Rulebook, rule: Rule, trial_id: str) -> str:
    """Return a name of its own for the rule in the trial, as Kubernetes asks."""
    readable = re.sub(r"[^a-z0-9]+", "-", f"{trial_id}-{rule.rule}")[:_LONGEST_NAME]
    whole = f"{trial_id} {rulebook.rulebook} {rule.rule}"
    mark = digest_of(whole.encode()).partition(":")[2][:8]
    return f"regulatory-sandbox-{readable.strip('-')}-{mark}"


def _object(
    kind: str, name: str, trial_id: str, spec: dict[str, Any]
) -> dict[str, Any]:
    labels = {
        "app.kubernetes.io/managed-by": "regulatory-sandbox",
        RULES_OF: trial_id,
    }
    return {
        "apiVersion": _API,
        "kind": kind,
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
    }
