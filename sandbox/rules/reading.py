"""A rulebook as it is written: every problem at once, each at its place.

Rules of this module:

* What the schema refuses and what is unsound are reported together: a field that the
  schema refuses gets a stand-in, so that everything else can still be checked.
* Nothing that is said about a stand-in is reported, and nothing is half-loaded: with
  one defect there is no rulebook.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any, NamedTuple

from pydantic import ValidationError

from sandbox.errors import InputError
from sandbox.model.application import Defect
from sandbox.model.document import examine, placed, refusals
from sandbox.model.rule import Rulebook
from sandbox.rules.rulebook import check_rulebook

_FIRST_DAY, _LAST_DAY = "0001-01-01", "9999-12-31"
_ROUNDS = 4
"""A stand-in may itself lack fields; no field lies deeper than this many of them."""
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
        found = tuple(item for item in checked if not _touches(item.field, refused))
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


def _stand_in(data: Any, steps: list[int | str], is_unknown: bool) -> None:
    """Put a stand-in where the steps lead, or take away what is not known there."""
    if not steps:
        return
    *way, last = steps
    for step in way:
        try:
            data = data[step]
        except (LookupError, TypeError):
            return
    if isinstance(data, list) and isinstance(last, int) and last < len(data):
        data[last] = {}
    elif isinstance(data, dict):
        if is_unknown or data.get(last) == {}:
            data.pop(last, None)
        else:
            data[last] = deepcopy(_STAND_INS.get(str(last), {}))
