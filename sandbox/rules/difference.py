"""What changed between two versions of a rulebook, and does it loosen or tighten?

Rules of this module:

* Compared are rules by name, then fields, then each parameter on every day on which one
  of its values enters into force in either version.
* A value is looser or tighter by the parameter's own `looser`, and only where both
  versions agree on it and on the unit. A rule more is tighter, a rule less looser. Of
  words and expressions neither is claimed.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any, Literal

from sandbox.model.record import Record
from sandbox.model.rule import Parameter, Rule, Rulebook

Effect = Literal["looser", "tighter", "none", "unknown"]
"""none: another day or reference for the same value."""


class Difference(Record):
    """One field of one rule that two versions say differently."""

    rule: str
    """Empty for what the rulebook says of itself."""
    field: str
    """Dotted path; of a value, with its day."""
    before: Any = None
    after: Any = None
    effect: Effect = "unknown"


def differences(before: Rulebook, after: Rulebook) -> tuple[Difference, ...]:
    """Return everything that differs, by rule, in the order of the later version."""
    return (*_of_rulebook(before, after), *_of_rules(before, after))


def _of_rulebook(before: Rulebook, after: Rulebook) -> Iterator[Difference]:
    for name in ("rulebook", "version", "title", "owner", "in_force_from"):
        yield from _field("", name, getattr(before, name), getattr(after, name))


def _of_rules(before: Rulebook, after: Rulebook) -> Iterator[Difference]:
    old = {item.rule: item for item in before.rules}
    new = {item.rule: item for item in after.rules}
    for name in [*new, *(name for name in old if name not in new)]:
        if name not in old:
            added = new[name].text
            yield Difference(rule=name, field="rule", after=added, effect="tighter")
        elif name not in new:
            gone = old[name].text
            yield Difference(rule=name, field="rule", before=gone, effect="looser")
        else:
            yield from _of_rule(old[name], new[name])


def _of_rule(before: Rule, after: Rule) -> Iterator[Difference]:
    for name in Rule.model_fields:
        if name != "parameters":
            one, two = _plain(before, name), _plain(after, name)
            yield from _field(before.rule, name, one, two)
    for name in dict.fromkeys((*before.parameters, *after.parameters)):
        field = f"parameters.{name}"
        one, two = before.parameters.get(name), after.parameters.get(name)
        if one is None or two is None:
            yield Difference(
                rule=before.rule,
                field=field,
                before=one and _values(one),
                after=two and _values(two),
            )
        else:
            yield from _of_parameter(before.rule, field, one, two)


def _of_parameter(
    rule: str, field: str, before: Parameter, after: Parameter
) -> Iterator[Difference]:
    for name in ("unit", "looser"):
        one, two = getattr(before, name), getattr(after, name)
        yield from _field(rule, f"{field}.{name}", one, two)
    for day in sorted({*before.values, *after.values}):
        one, two = _on(before, day), _on(after, day)
        if one != two:
            yield Difference(
                rule=rule,
                field=f"{field}.values.{day}",
                before=one,
                after=two,
                effect=_effect(before, after, one, two),
            )
        elif before.values.get(day) != after.values.get(day):
            yield Difference(
                rule=rule,
                field=f"{field}.values.{day}.reference",
                before=_reference(before, day),
                after=_reference(after, day),
                effect="none",
            )


def _effect(
    before: Parameter, after: Parameter, one: float | None, two: float | None
) -> Effect:
    if (before.unit, before.looser) != (after.unit, after.looser):
        return "unknown"
    if one is None or two is None or after.looser == "unknown":
        return "unknown"
    return "looser" if (two > one) == (after.looser == "higher") else "tighter"


def _on(parameter: Parameter, day: date) -> float | None:
    days = [item for item in parameter.values if item <= day]
    return parameter.values[max(days)].value if days else None


def _reference(parameter: Parameter, day: date) -> str | None:
    return parameter.values[day].reference if day in parameter.values else None


def _values(parameter: Parameter) -> dict[str, float]:
    return {str(day): item.value for day, item in sorted(parameter.values.items())}


def _plain(rule: Rule, name: str) -> Any:
    return rule.model_dump(mode="json", include={name}).get(name)


def _field(rule: str, name: str, before: Any, after: Any) -> Iterator[Difference]:
    if before != after:
        yield Difference(rule=rule, field=name, before=before, after=after)
