"""Does a temporary rule fit the rulebook it is laid over?

Rules of this module:

* An exception names a rule that exists, and never a red line.
* A trial has one exception to a rule: of two, nothing would say which one holds.
* It names exactly the version it was composed for, by number and digest.
* Every problem is a `Defect` with its place.
"""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.errors import InputError, RuleError
from sandbox.model.application import Application, Defect
from sandbox.model.document import examine, placed
from sandbox.model.rule import Rule, Rulebook, TemporaryRule, Waiver
from sandbox.rules.rulebook import (
    expression_problem,
    reference,
    rule_named,
    unknown_rule,
)


def read_temporary_rule(text: str, rulebook: Rulebook, *, file: str) -> TemporaryRule:
    """Return a temporary rule that fits a rulebook, from its document.

    Args:
        text: YAML, or JSON as it is recorded.
        rulebook: The version it is laid over.
        file: Name of the document, for the places of problems.

    Raises:
        InputError: It cannot be read or does not fit; carries every `Defect`.
    """
    reading = examine(text, TemporaryRule, file=file, prefix="temporary-rule")
    if reading.record is None:
        raise InputError(reading.defects)
    defects = check_temporary_rule(reading.record, rulebook)
    if defects:
        raise InputError(placed(defects, reading.places, file=file))
    return reading.record


def check_temporary_rule(rule: TemporaryRule, rulebook: Rulebook) -> tuple[Defect, ...]:
    """Return everything by which a temporary rule does not fit a rulebook."""
    return (
        *_check_version(rule, rulebook),
        *check_overlays(rule.overlays, rulebook),
    )


def check_overlays(
    overlays: tuple[Waiver, ...], rulebook: Rulebook
) -> tuple[Defect, ...]:
    """Return everything by which exceptions do not fit a rulebook."""
    found: list[Defect] = []
    seen: set[str] = set()
    for number, waiver in enumerate(overlays):
        field = f"overlays.{number}"
        if waiver.exception_to in seen:
            what = f"there are two exceptions to `{waiver.exception_to}`"
            place = f"{field}.exception_to"
            found.append(_defect("two-exceptions", what, "Keep one", place))
        seen.add(waiver.exception_to)
        found += _check_waiver(waiver, field, rulebook)
    return tuple(found)


def check_conditions_asked(
    application: Application, rulebook: Rulebook
) -> tuple[Defect, ...]:
    """Return what is wrong with the `under` of what an application asks for."""
    rules = {item.rule: item for item in rulebook.rules}
    return tuple(
        defect.model_copy(update={"code": "application/expression"})
        for number, asked in enumerate(application.collides_with)
        if asked.rule in rules
        for defect in _check_under(
            asked.under, rules[asked.rule], f"collides_with.{number}.under"
        )
    )


def _check_version(rule: TemporaryRule, rulebook: Rulebook) -> Iterator[Defect]:
    expected, given = reference(rulebook), rule.of
    if given != expected:
        yield _defect(
            "other-version",
            f"{rule.temporary_rule} was composed for {given.rulebook} "
            f"v{given.version} ({given.digest}), not for {expected.rulebook} "
            f"v{expected.version} ({expected.digest})",
            "Name that version, or compose it again",
            "of",
        )


def _check_waiver(waiver: Waiver, field: str, rulebook: Rulebook) -> Iterator[Defect]:
    try:
        rule = rule_named(rulebook, waiver.exception_to)
    except RuleError as error:
        yield _defect("unknown-rule", *unknown_rule(error), f"{field}.exception_to")
        return
    if not rule.waivable:
        yield _defect(
            "red-line",
            f"`{waiver.label}` is an exception to `{rule.rule}`, a red line",
            "Remove it",
            f"{field}.exception_to",
        )
    unknown = sorted(set(waiver.set) - set(rule.parameters))
    if unknown:
        yield _defect(
            "unknown-parameter",
            f"`{waiver.label}` sets {', '.join(unknown)}, which `{rule.rule}` has not",
            f"Parameters of the rule: {', '.join(rule.parameters) or 'none'}",
            f"{field}.set",
        )
    yield from _check_kind(waiver, field)
    yield from _check_under(waiver.under, rule, f"{field}.under")


def _check_kind(waiver: Waiver, field: str) -> Iterator[Defect]:
    if waiver.kind == "waiver" and waiver.set:
        what = f"`{waiver.label}` is a waiver and sets values"
        remedy = "Write `kind: modification`, or take `set` out"
        yield _defect("waiver-sets-values", what, remedy, f"{field}.set")
    if waiver.kind == "modification" and not waiver.set:
        what = f"`{waiver.label}` is a modification and sets no value"
        remedy = "Add `set` with a parameter of the rule"
        yield _defect("modification-without-value", what, remedy, field)


def _check_under(under: str, rule: Rule, field: str) -> Iterator[Defect]:
    flaw = expression_problem(under, set(rule.parameters), rule.about)
    if flaw:
        found = _defect("expression", flaw.what, flaw.remedy, field)
        yield found.model_copy(update={"offset": flaw.offset})


def _defect(check: str, what: str, remedy: str, field: str) -> Defect:
    return Defect(code=f"temporary-rule/{check}", what=what, remedy=remedy, field=field)
