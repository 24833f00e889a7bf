"""What an amendment changes, part by part: words, conditions, values.

Rules of this module:

* Every field of a rule that differs is a part, and so is every value of a parameter on
  its own day; what a rule may have besides is not forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.model.proposal import RedlinePart
from sandbox.model.record import canonical_json
from sandbox.model.rule import Amendment, Parameter, Rule, Rulebook
from sandbox.rules import number_text

_APART = ("kind", "rule", "parameters")


def parts_of(rulebook: Rulebook, amendment: Amendment) -> tuple[RedlinePart, ...]:
    """Return every part of a rule that an amendment changes.

    Args:
        rulebook: The version that is amended.
        amendment: One amendment; an insert has nothing before, a repeal nothing after.
    """
    known = {item.rule: item for item in rulebook.rules}
    return tuple(_parts(known.get(amendment.rule), amendment.new))


def rule_parts(before: Rule | None, after: Rule | None) -> tuple[RedlinePart, ...]:
    """Return every part in which two texts of a rule differ."""
    return tuple(_parts(before, after))


def _parts(before: Rule | None, after: Rule | None) -> Iterator[RedlinePart]:
    old, new = _flat(before), _flat(after)
    for name in dict.fromkeys((*old, *new)):
        if old.get(name) != new.get(name):
            yield RedlinePart(
                part=name, now=old.get(name, ""), proposed=new.get(name, "")
            )


def _flat(rule: Rule | None) -> dict[str, str]:
    """Return a rule as named texts."""
    if rule is None:
        return {}
    found = {}
    for name in type(rule).model_fields:
        value = getattr(rule, name)
        if name not in _APART and value is not None:
            found[name] = value if isinstance(value, str) else _plain(rule, name)
    for name, parameter in rule.parameters.items():
        found |= dict(_values(name, parameter))
    return found


def _plain(rule: Rule, name: str) -> str:
    data = rule.model_dump(mode="json", include={name}, exclude_defaults=True)
    value = data.get(name, getattr(rule, name))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return canonical_json(value).decode() if value else ""


def _values(name: str, parameter: Parameter) -> Iterator[tuple[str, str]]:
    for day, item in sorted(parameter.values.items()):
        yield (
            f"{name} from {day}",
            f"{number_text(item.value)} {parameter.unit} ({item.reference})",
        )
    yield f"{name}, looser", parameter.looser
