"""Turning what was tried into the text and expressions of a rule.

Rules of this module:

* Nothing is known here of any particular rule: the new provision is made from the rule,
  the overlay that was tried, and the rules that kept its goal safe meanwhile.
* A waiver becomes an exception *inside* the rule: the rule stays, and falls silent only
  for a unit that keeps every compensating requirement, with the values that were tried.
  Where that cannot be evaluated, neither can the exception, so nobody slips out by
  leaving out an attribute.
* A modification becomes a value dated by its entry into force; with a narrower `under`,
  a value for just those units.
* A parameter taken over from another rule keeps its name unless that is taken.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from datetime import date
from typing import NamedTuple

from sandbox.model.rule import Parameter, ParameterValue, Rule, Waiver


class Compensation(NamedTuple):
    """A rule that kept the goal safe, and the values it was tried with."""

    rule: Rule
    set: Mapping[str, float]


class Entry(NamedTuple):
    """When the new provision enters into force, and what its values refer to."""

    on: date
    reference: str


def with_exception(
    rule: Rule, waiver: Waiver, *, by: Sequence[Compensation], entry: Entry
) -> Rule:
    """Return the rule with the tried waiver as an exception of its own.

    Args:
        rule: The rule that was waived.
        waiver: The overlay that waived it.
        by: The compensating rules; at least one.
        entry: Date and reference of the new values.
    """
    parameters = dict(rule.parameters)
    held = [f"({waiver.under})"] if waiver.under.strip() != "true" else []
    words = []
    for compensation in by:
        names = _names(compensation.rule, set(parameters))
        parameters.update(_taken_over(compensation, names, entry))
        source = compensation.rule
        held += [f"({_renamed(source.applies, names)})"]
        held += [f"({_renamed(source.requires, names)})"]
        words.append(_reworded(source.text, names))
    return rule.model_copy(
        update={
            "text": f"{_sentence(rule.text)} This does not apply where the following is"
            f" kept: {' '.join(words)}",
            "parameters": parameters,
            "applies": f"({rule.applies}) && !({' && '.join(held)})",
        }
    )


def with_values(rule: Rule, waiver: Waiver, *, entry: Entry) -> Rule:
    """Return the rule with the tried values from the day of entry into force.

    Args:
        rule: The rule that was modified.
        waiver: The overlay with the values.
        entry: Date and reference of the new values.
    """
    if waiver.under.strip() == "true":
        changed = {
            name: _dated(rule.parameters[name], value, entry)
            for name, value in waiver.set.items()
        }
        return rule.model_copy(update={"parameters": {**rule.parameters, **changed}})
    names = {name: _free(f"{name}_special", rule.parameters) for name in waiver.set}
    added = {
        names[name]: _only(rule.parameters[name], value, entry)
        for name, value in waiver.set.items()
    }
    special = _renamed(rule.requires, names)
    return rule.model_copy(
        update={
            "text": f"{_sentence(rule.text)} In the cases tried, instead:"
            f" {_reworded(rule.text, names)}",
            "parameters": {**rule.parameters, **added},
            "requires": f"({waiver.under}) ? ({special}) : ({rule.requires})",
        }
    )


def _names(source: Rule, taken: set[str]) -> dict[str, str]:
    """Old → new name of each parameter of `source`."""
    prefix = re.sub(r"[^a-z0-9]+", "_", source.rule.rsplit("/", 1)[-1].lower())
    own = set(source.parameters)
    found: dict[str, str] = {}
    for name in source.parameters:
        wished = f"{prefix}_{name}" if name in taken else name
        # Nor the name of another of its own: two values would become one.
        found[name] = _free(wished, taken | own - {name} | set(found.values()))
    return found


def _free(name: str, taken: Container[str]) -> str:
    while name in taken:
        name += "_tried"
    return name


def _taken_over(
    compensation: Compensation, names: Mapping[str, str], entry: Entry
) -> dict[str, Parameter]:
    taken = {}
    for name, parameter in compensation.rule.parameters.items():
        value = compensation.set.get(name)
        if value is None:
            taken[names[name]] = parameter
        else:
            taken[names[name]] = _only(parameter, value, entry)
    return taken


def _only(parameter: Parameter, value: float, entry: Entry) -> Parameter:
    dated = {entry.on: ParameterValue(value=value, reference=entry.reference)}
    return parameter.model_copy(update={"values": dated})


def _dated(parameter: Parameter, value: float, entry: Entry) -> Parameter:
    new = ParameterValue(value=value, reference=entry.reference)
    kept = {day: old for day, old in parameter.values.items() if day < entry.on}
    return parameter.model_copy(update={"values": {**kept, entry.on: new}})


def _renamed(expression: str, names: Mapping[str, str]) -> str:
    """Rename `params.x` and `params["x"]`; line breaks become spaces."""
    text = " ".join(expression.split())
    for old, new in names.items():
        if old != new:
            text = re.sub(rf"\bparams\.{old}\b", f"params.{new}", text)
            text = re.sub(rf"\bparams\[(['\"]){old}\1\]", f"params.{new}", text)
    return text


def _reworded(text: str, names: Mapping[str, str]) -> str:
    for old, new in names.items():
        text = text.replace("{" + old + "}", "{" + new + "}")
    return _sentence(text)


def _sentence(text: str) -> str:
    words = " ".join(text.split())
    return words if words.endswith((".", "。")) else words + "."
