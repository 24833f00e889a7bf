"""What is in force at an instant: which version, which values, which words.

Rules of this module:

* In force on a day (UTC) is the highest version that has entered into force by then.
* A temporary rule changes what is in force only between its two instants, and reverts
  by itself; the rulebook below it stays as it is.
* A value says since when it holds and by which reference; one of an exception, by its
  label.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Literal

from sandbox.errors import RuleError
from sandbox.model.record import Record
from sandbox.model.rule import Rule, Rulebook, RuleSource, TemporaryRule, Waiver
from sandbox.rules.rulebook import number_text, text_with


class ValueInForce(Record):
    """The value of one parameter, since when and by what."""

    name: str
    value: float
    unit: str
    since: date
    reference: str

    def sentence(self) -> str:
        """Return it as one line."""
        return (
            f"{self.name} = {number_text(self.value)} {self.unit}, "
            f"since {self.since} ({self.reference})"
        )


class ExceptionInForce(Record):
    """What a temporary rule makes of one rule, and until when."""

    label: str
    effect: Literal["waiver", "modification"]
    under: str
    until: datetime

    def sentence(self) -> str:
        """Return it as one line."""
        where = "" if self.under == "true" else f", under {self.under}"
        verb = "waived" if self.effect == "waiver" else "modified"
        return f"{verb} by `{self.label}` until {self.until.isoformat()}{where}"


class RuleInForce(Record):
    """One rule as it reads at an instant."""

    rule: str
    text: str
    """With the values in force; of a modification that does not hold everywhere, as
    it reads where it holds."""
    source: RuleSource
    waivable: bool
    values: tuple[ValueInForce, ...]
    exception: ExceptionInForce | None = None


def version_in_force(versions: Iterable[Rulebook], on: date) -> Rulebook:
    """Return the version in force on a day.

    Raises:
        RuleError: None is in force yet; says when the first will be.
    """
    known = sorted(versions, key=lambda item: item.version)
    in_force = [item for item in known if item.in_force_from <= on]
    if in_force:
        return in_force[-1]
    if not known:
        raise RuleError("there is no version of this rulebook; publish one")
    first = min(known, key=lambda item: item.in_force_from)
    raise RuleError(
        f"no version of {first.rulebook} is in force on {on}; version {first.version} "
        f"enters into force on {first.in_force_from}"
    )


def rules_in_force(
    rulebook: Rulebook, at: datetime, *, temporary_rule: TemporaryRule | None = None
) -> tuple[RuleInForce, ...]:
    """Return every rule of a version as it reads at an instant.

    A parameter without a value in force is left out of `values`.

    Args:
        rulebook: The version.
        at: The instant; its day in UTC decides about dated values.
        temporary_rule: The overlay of a trial, if one is asked for.
    """
    overlays = exceptions_in_force(temporary_rule, at)
    return tuple(
        _rule_in_force(rule, at.date(), overlays.get(rule.rule), temporary_rule)
        for rule in rulebook.rules
    )


def exceptions_in_force(
    temporary_rule: TemporaryRule | None, at: datetime
) -> dict[str, Waiver]:
    """Return the exceptions of a trial at an instant, by the rule they are from."""
    if temporary_rule is None or not temporary_rule.in_force.holds(at):
        return {}
    return {item.exception_to: item for item in temporary_rule.overlays}


def values_in_force(
    rule: Rule, on: date, exception: Waiver | None = None
) -> tuple[ValueInForce, ...]:
    """Return the values of a rule on a day, those of an exception instead where it
    sets them.
    """
    found = []
    for name, parameter in rule.parameters.items():
        days = [day for day in parameter.values if day <= on]
        if not days:
            continue
        dated = parameter.values[max(days)]
        value, reference = dated.value, dated.reference
        if exception and name in exception.set:
            value = exception.set[name]
            reference = f"{exception.label}, instead of {reference}"
        found.append(
            ValueInForce(
                name=name,
                value=value,
                unit=parameter.unit,
                since=max(days),
                reference=reference,
            )
        )
    return tuple(found)


def _rule_in_force(
    rule: Rule, on: date, waiver: Waiver | None, temporary_rule: TemporaryRule | None
) -> RuleInForce:
    values = values_in_force(rule, on, waiver)
    exception = None
    if waiver is not None and temporary_rule is not None:
        exception = ExceptionInForce(
            label=waiver.label,
            effect=waiver.kind,
            under=waiver.under,
            until=temporary_rule.in_force.end,
        )
    return RuleInForce(
        rule=rule.rule,
        text=text_with(rule, {item.name: item.value for item in values}),
        source=rule.source,
        waivable=rule.waivable,
        values=values,
        exception=exception,
    )
