"""Does what the applicant asks of the rules hold together?

Rules of this module:

* A rule that is not waivable is a red line: neither waived nor modified, by nobody.
* A waiver is paid for: at least one requested modification compensates it, and such a
  modification tightens its rule.
* Every rule and parameter named exists in the rulebook.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from sandbox.model.application import Application, Defect, RequestedWaiver
from sandbox.model.rule import Parameter, Rule, Rulebook


def check_collisions(
    application: Application, rulebook: Rulebook
) -> tuple[Defect, ...]:
    """Return what is wrong with the waivers and modifications asked for."""
    rules = {item.rule: item for item in rulebook.rules}
    if not application.collides_with:
        return (_nothing_named(rulebook),)
    return tuple(
        defect
        for number, asked in enumerate(application.collides_with)
        for defect in _check_one(asked, f"collides_with.{number}", application, rules)
    )


def compensating(
    waived: RequestedWaiver, collisions: Iterable[RequestedWaiver]
) -> tuple[str, ...]:
    """Return the rules whose modification makes up for one waiver.

    It must hold wherever the waiver does: under the same words, or everywhere.
    """
    return tuple(
        item.rule
        for item in collisions
        if item.request == "modification"
        and waived.rule in item.compensates
        and item.under.split() in (waived.under.split(), ["true"])
    )


def unknown_name(
    name: str, known: Iterable[str], *, code: str, field: str, noun: str
) -> Defect:
    """Return the defect of a name that nothing carries, with the nearest ones."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    remedy = f"Did you mean `{near[0]}`?" if near else f"Known: {', '.join(names)}"
    what = f"there is no {noun} `{name}`"
    return Defect(code=code, what=what, remedy=remedy, field=field)


def _nothing_named(rulebook: Rulebook) -> Defect:
    names = ", ".join(item.rule for item in rulebook.rules)
    return Defect(
        code="application/rule-not-named",
        what="no rule is named that the innovation collides with",
        remedy="Name it with `rule`, `request` and `why`; "
        f"{rulebook.rulebook} has: {names}",
        field="collides_with",
    )


def _check_one(
    asked: RequestedWaiver,
    field: str,
    application: Application,
    rules: dict[str, Rule],
) -> Iterator[Defect]:
    rule = rules.get(asked.rule)
    if rule is None:
        yield unknown_name(
            asked.rule,
            rules,
            code="application/rule-not-named",
            field=f"{field}.rule",
            noun=f"rule in {application.rulebook} called",
        )
        return
    others = [item.rule for item in application.collides_with]
    if others.count(asked.rule) > 1:
        yield _defect(
            "rule-named-twice",
            f"`{asked.rule}` is named more than once",
            "Ask for a waiver or for a modification, not both",
            f"{field}.rule",
        )
    if not rule.waivable:
        yield _red_line(rule, field)
    if asked.request == "waiver":
        yield from _check_waiver(asked, field, application)
    else:
        yield from _check_modification(asked, field, rule)
        yield from _check_purpose(asked, field, application)


def _check_waiver(
    asked: RequestedWaiver, field: str, application: Application
) -> Iterator[Defect]:
    if asked.set or asked.compensates:
        yield _defect(
            "waiver-sets-values",
            f"the waiver of `{asked.rule}` has `set` or `compensates`",
            "Move them to the modification that compensates it",
            field,
        )
    if not compensating(asked, application.collides_with):
        yield _defect(
            "waiver-without-compensation",
            f"nothing makes up for the waiver of `{asked.rule}`",
            "Add a modification that tightens another rule, with "
            f"`compensates: [{asked.rule}]`, everywhere or `under` the same words",
            field,
        )


def _check_modification(
    asked: RequestedWaiver, field: str, rule: Rule
) -> Iterator[Defect]:
    if not asked.set:
        yield _defect(
            "modification-without-value",
            f"the modification of `{asked.rule}` sets no parameter",
            f"Add `set`; the rule has: {', '.join(rule.parameters) or 'none'}",
            field,
        )
    for name, value in asked.set.items():
        place = f"{field}.set.{name}"
        parameter = rule.parameters.get(name)
        if parameter is None:
            yield unknown_name(
                name,
                rule.parameters,
                code="application/unknown-parameter",
                field=place,
                noun=f"parameter of `{asked.rule}` called",
            )
        elif asked.compensates and parameter.looser == "unknown":
            yield _undirected(name, place)
        elif asked.compensates and not _tightens(value, parameter):
            yield _loose(name, value, place, parameter)


def _check_purpose(
    asked: RequestedWaiver, field: str, application: Application
) -> Iterator[Defect]:
    waived = {
        item.rule for item in application.collides_with if item.request == "waiver"
    }
    for number, name in enumerate(asked.compensates):
        if name not in waived:
            yield unknown_name(
                name,
                waived,
                code="application/compensates-no-waiver",
                field=f"{field}.compensates.{number}",
                noun="requested waiver of",
            )


def _latest(parameter: Parameter) -> float:
    return parameter.values[max(parameter.values)].value


def _tightens(value: float, parameter: Parameter) -> bool:
    now = _latest(parameter)
    return value < now if parameter.looser == "higher" else value > now


def _undirected(name: str, place: str) -> Defect:
    return _defect(
        "compensation-without-direction",
        f"whether another `{name}` is stricter is unknown, so it compensates nothing",
        "Compensate with a parameter whose rule says what is looser",
        place,
    )


def _loose(name: str, value: float, place: str, parameter: Parameter) -> Defect:
    side = "below" if parameter.looser == "higher" else "above"
    now = _latest(parameter)
    return _defect(
        "compensation-not-tighter",
        f"`{name}` = {value:g} {parameter.unit} compensates nothing: the rule "
        f"already asks for {now:g} {parameter.unit}",
        f"Set a value {side} {now:g}",
        place,
    )


def _red_line(rule: Rule, field: str) -> Defect:
    return Defect(
        code="application/red-line",
        what=f"`{rule.rule}` is a red line; no trial may set it aside or change it",
        remedy="Take it out, and keep to the rule",
        field=f"{field}.rule",
        source=f"{rule.source.instrument}, {rule.source.provision}",
    )


def _defect(check: str, what: str, remedy: str, field: str) -> Defect:
    return Defect(code=f"application/{check}", what=what, remedy=remedy, field=field)
