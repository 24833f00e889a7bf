"""Would two trials be under different exceptions to the same rule, for the same units?

Rules of this module:

* Two applicable exceptions with different outcomes are a conflict (default logic, as in
  Catala). It is found when the second trial is admitted or begun, never at run time.
* Exceptions overlap unless it can be shown that they do not: their times share no
  instant, or their `under` ask the same field for different texts.
* Where only words stand between two trials (another area, another class of
  participants, a condition of another form), the conflict is *possible*, and a person
  decides. Where nothing does, it is *certain*.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from sandbox.model.record import Interval, Record
from sandbox.model.rule import TemporaryRule, Waiver
from sandbox.rules.rulebook import number_text

_ONE_VALUE = re.compile(
    r"""\s*(?P<field>span(?:\.\w+|\["[^"\\]*"\])+)\s*==\s*"(?P<value>[^"\\]*)"\s*"""
)


class Conflict(Record):
    """Two exceptions to one rule that lead to different outcomes."""

    rule: str
    trial_id: str
    label: str
    other_trial_id: str
    other_label: str
    is_certain: bool
    """False: whether any unit falls under both is for a person to say."""
    why: str

    def sentence(self) -> str:
        """Return the conflict as one line, with both labels and trials."""
        kind = "conflicts" if self.is_certain else "may conflict"
        return (
            f"`{self.label}` of trial {self.trial_id} {kind} with "
            f"`{self.other_label}` of trial {self.other_trial_id}, both exceptions to "
            f"`{self.rule}`: {self.why}"
        )


def find_conflicts(
    rule: TemporaryRule, others: Iterable[TemporaryRule]
) -> tuple[Conflict, ...]:
    """Return the conflicts of one temporary rule with those of other trials.

    Args:
        rule: Of the trial that is to be admitted or begun.
        others: In force; of another rulebook or of the same trial they are passed over.
    """
    return tuple(
        conflict
        for other in others
        if other.trial_id != rule.trial_id
        and other.of.rulebook == rule.of.rulebook
        and _share_time(rule.in_force, other.in_force)
        for conflict in _between(rule, other)
    )


def _between(rule: TemporaryRule, other: TemporaryRule) -> Iterator[Conflict]:
    apart = _words_between(rule, other)
    for ours in rule.overlays:
        for theirs in other.overlays:
            if ours.exception_to != theirs.exception_to or _same(ours, theirs):
                continue
            if _are_disjoint(ours.under, theirs.under):
                continue
            doubts = [*apart, *_conditions_between(ours.under, theirs.under)]
            yield Conflict(
                rule=ours.exception_to,
                trial_id=rule.trial_id,
                label=ours.label,
                other_trial_id=other.trial_id,
                other_label=theirs.label,
                is_certain=not doubts,
                why=_why(ours, theirs, doubts),
            )


def _share_time(one: Interval, other: Interval) -> bool:
    return one.start < other.end and other.start < one.end


def _same(one: Waiver, other: Waiver) -> bool:
    return (one.kind, one.set) == (other.kind, other.set)


def _words_between(rule: TemporaryRule, other: TemporaryRule) -> list[str]:
    pairs = {
        "area": (rule.scope.area, other.scope.area),
        "participants": (rule.scope.participants, other.scope.participants),
    }
    return [
        f"the {name} read differently"
        for name, (one, two) in pairs.items()
        if one.split() != two.split()
    ]


def _conditions_between(one: str, other: str) -> list[str]:
    if _plain(one) == _plain(other) or "true" in (_plain(one), _plain(other)):
        return []
    return ["they hold under different conditions"]


def _are_disjoint(one: str, other: str) -> bool:
    first, second = _ONE_VALUE.fullmatch(one), _ONE_VALUE.fullmatch(other)
    if first is None or second is None:
        return False
    return first["field"] == second["field"] and first["value"] != second["value"]


def _plain(expression: str) -> str:
    return " ".join(expression.split())


def _why(ours: Waiver, theirs: Waiver, doubts: list[str]) -> str:
    outcome = f"{_outcome(ours)} here, {_outcome(theirs)} there, at the same time"
    if not doubts:
        return f"{outcome}, for the same units"
    return f"{outcome}; {' and '.join(doubts)}, so a person decides"


def _outcome(waiver: Waiver) -> str:
    values = [f"{name} = {number_text(x)}" for name, x in sorted(waiver.set.items())]
    return "waived" if waiver.kind == "waiver" else ", ".join(values)
