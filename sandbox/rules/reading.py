"""A rulebook as it is written: every problem at once, each at its place.

Rules of this module:

* What the schema refuses and what is unsound are reported together: a field that the
  schema refuses gets a stand-in, so that everything else can still be checked.
* Nothing that is said about a stand-in is reported, and nothing is half-loaded: with
  one defect there is no rulebook.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, NamedTuple

from pydantic import ValidationError

from sandbox.errors import InputError
from sandbox.model.application import Defect
from sandbox.model.document import examine, placed, refusals
from sandbox.model.rule import Rulebook
from sandbox.rules.rulebook import check_rulebook

_FIRST_DAY, _LAST_DAY = "0001-01-01", "9999-12-31"
_ROUNDS = 8
"""A stand-in may itself lack fields, and a pattern may be wrong piece by piece."""
_RULE_DEPTH = 2
"""Steps from the document to one of its rules."""
_DATED = {_FIRST_DAY: {"value": 0, "reference": "-"}}
_STAND_INS: dict[str, Any] = {
    "rulebook": "unread",
    "rule": "unread",
    "version": 1,
    "owner": "unread",
    "in_force_from": _LAST_DAY,
    "title": "-",
    "text": "-",
    "goal": "unread",
    "mechanism": "regulation",
    "severity": "major",
    "waivable": True,
    "applies": "true",
    "requires": "true",
    "at_most": 1,
    "source": {"instrument": "-", "provision": "-", "as_of": _FIRST_DAY},
    "instrument": "-",
    "provision": "-",
    "as_of": _FIRST_DAY,
    "url": "",
    "unit": "s",
    "looser": "higher",
    "values": _DATED,
    "value": 0,
    "reference": "-",
}
"""Field → a value that the schema takes and that no check objects to."""


class RulebookReading(NamedTuple):
    """What came of reading a rulebook; without defects there is one."""

    rulebook: Rulebook | None
    defects: tuple[Defect, ...]


def read_rulebook(text: str, *, file: str) -> Rulebook:
    """Return a sound rulebook from its YAML document.

    Raises:
        InputError: It cannot be read or is not sound; carries every `Defect`.
    """
    reading = examine_rulebook(text, file=file)
    if reading.rulebook is None:
        raise InputError(reading.defects)
    return reading.rulebook


def examine_rulebook(text: str, *, file: str) -> RulebookReading:
    """Read a rulebook as `read_rulebook` does, but return the problems."""
    reading = examine(text, Rulebook, file=file, prefix="rulebook")
    understood = reading.record or _understood(reading.data)
    found: tuple[Defect, ...] = ()
    if understood is not None:
        refused = {item.field for item in reading.defects}
        checked = check_rulebook(understood, file=file)
        whole = refused - _rules_in(reading.data).keys()
        found = (
            *(item for item in checked if not _touches(item.field, whole)),
            *_without_one(reading.data, refused),
        )
    defects = placed((*reading.defects, *found), reading.places, file=file)
    return RulebookReading(None if defects else reading.record, defects)


def _touches(field: str, refused: set[str]) -> bool:
    """Return whether a check speaks of what the schema refused, of a part of it, or of
    what holds it.
    """
    steps = field.split(".")
    around = {".".join(steps[:depth]) for depth in range(1, len(steps) + 1)}
    # Nothing can be said of a rule that hangs on what it is about, or its parameters.
    around.add(".".join([*steps[:2], "parameters"]))
    around.add(".".join([*steps[:2], "about"]))
    holds = any(item.startswith(f"{field}.") for item in refused)
    return holds or bool(around & refused)


def _rules_in(data: Any) -> dict[str, dict[str, Any]]:
    """Return the rules of a document by their fields, as far as they are mappings."""
    rules = data.get("rules") if isinstance(data, dict) else None
    numbered = enumerate(rules) if isinstance(rules, list) else ()
    return {
        f"rules.{number}": rule for number, rule in numbered if isinstance(rule, dict)
    }


def _without_one(data: Any, refused: set[str]) -> Iterator[Defect]:
    """Find rules that ask for both or for neither of two things.

    The schema says so only of rules in which it refuses nothing else.
    """
    for field, rule in _rules_in(data).items():
        asked = ("requires", "pattern")
        parts = tuple(f"{field}.{name}" for name in asked)
        told = field in refused or any(item.startswith(parts) for item in refused)
        if not told and sum(bool(rule.get(name)) for name in asked) != 1:
            yield Defect(
                code="rulebook/wrong-value",
                what=f"`rules` of {rule.get('rule')} needs `requires` or `pattern`",
                remedy="Give exactly one",
                field=field,
            )


def _understood(data: Any) -> Rulebook | None:
    """Return the document with stand-ins where the schema refuses it, if that helps."""
    repaired = deepcopy(data)
    for _ in range(_ROUNDS):
        try:
            return Rulebook.model_validate(repaired)
        except ValidationError as error:
            for detail in refusals(error):
                steps = [step for step in detail["loc"] if step != "[key]"]
                _stand_in(repaired, steps, detail["type"] == "extra_forbidden")
    return None


def _asking_for_one(rule: Any) -> dict[str, Any]:
    """Return a rule that asks for exactly one of two things, or one without fields."""
    if not isinstance(rule, dict):
        return {}
    kept = {name: value for name, value in rule.items() if name != "pattern"}
    return {**kept, "requires": rule.get("requires") or _STAND_INS["requires"]}


def _stand_in(data: Any, steps: list[int | str], is_unknown: bool) -> None:
    """Put a stand-in where the steps lead, or take away what is not known there."""
    if not steps:
        return
    *way, last = steps
    holder = data
    for step in way:
        try:
            holder = holder[step]
        except (LookupError, TypeError):
            return
    if isinstance(holder, dict):
        if is_unknown or holder.get(last) == {}:
            holder.pop(last, None)
        else:
            holder[last] = deepcopy(_STAND_INS.get(str(last), {}))
    elif not isinstance(holder, list) or not isinstance(last, int):
        # The last step names a type that was tried, not a field.
        _stand_in(data, way, is_unknown)
    elif last < len(holder):
        is_rule = len(steps) == _RULE_DEPTH
        holder[last] = _asking_for_one(holder[last]) if is_rule else {}
