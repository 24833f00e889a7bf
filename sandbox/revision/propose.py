"""From findings to a proposal: amendments with grounds, or no change with reasons.

Rules of this module:

* An overlay becomes law only as far as it was shown: every planned goal on the rule and
  on its compensating rules is met, in every trial that tried it. Anything else is *no
  change*, with the reasons, which is a proposal too.
* A harm that was signalled does not veto a goal that was met over all units, and is
  never left out: the exception that is proposed falls silent only for units that keep
  the compensating requirement, so the harmful ones stay under the old rule.
* Where trials differ in the values they tried, the strictest are proposed.
* Other mechanisms than regulation are always laid beside it (METI, Governance
  Innovation ver. 2: corporate governance, infrastructure, market, social norms).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple

from sandbox.errors import RuleError
from sandbox.model.finding import Finding
from sandbox.model.proposal import RevisionProposal
from sandbox.model.rule import Amendment, Rule, Rulebook, TemporaryRule, Waiver
from sandbox.revision.alternatives import Basis, alternatives
from sandbox.revision.redline import redline_rows
from sandbox.revision.redraft import (
    Compensation,
    Entry,
    with_exception,
    with_values,
)
from sandbox.rules import reference, rule_named


class TrialGrounds(NamedTuple):
    """What one trial contributes."""

    temporary_rule: TemporaryRule
    findings: tuple[Finding, ...]


class _Tried(NamedTuple):
    """One overlay of one trial."""

    waiver: Waiver
    trial: TrialGrounds


def propose(
    rulebook: Rulebook,
    trials: Sequence[TrialGrounds],
    *,
    proposal: str,
    in_force_from: date,
    at: datetime,
) -> RevisionProposal:
    """Draft a revision of a rulebook on the findings of trials.

    Args:
        rulebook: The version in force, under which the trials ran.
        trials: All trials of that version whose findings are to be used.
        proposal: Its name, for example `P-1`.
        in_force_from: When the amendments would enter into force.
        at: When it is proposed.

    Returns:
        The proposal, without labels of support; without amendments, it proposes no
        change.

    Raises:
        RuleError: A trial ran under another version, or an overlay names no rule.
    """
    _check_versions(rulebook, trials)
    entry = Entry(in_force_from, f"proposal {proposal}")
    amendments: list[Amendment] = []
    reasons: list[str] = []
    by_rule = _by_rule(trials)
    for name, tried in by_rule.items():
        doubts = [doubt for item in tried for doubt in _doubts(rulebook, item)]
        doubts += _undirected(rulebook, tried)
        reasons += doubts
        if not doubts:
            rule = rule_named(rulebook, name)
            amendments.append(_amendment(rulebook, rule, tried, entry))
            reasons += [line for item in tried for line in _support_reasons(item)]
    return RevisionProposal(
        proposal=proposal,
        amends=reference(rulebook),
        amendments=tuple(amendments),
        reasons=tuple(dict.fromkeys(reasons)) or ("No overlay was tried.",),
        grounds=_all_grounds(trials),
        alternatives=alternatives(
            rulebook, _basis(by_rule, trials, is_change=bool(amendments))
        ),
        redline=redline_rows(rulebook, amendments, at.date()),
        proposed_at=at,
    )


def ground(finding: Finding) -> str:
    """Return the name under which a finding is cited."""
    return f"{finding.trial_id}/{finding.finding}"


def _check_versions(rulebook: Rulebook, trials: Sequence[TrialGrounds]) -> None:
    expected = reference(rulebook)
    for trial in trials:
        given = trial.temporary_rule.of
        if given != expected:
            raise RuleError(
                f"{trial.temporary_rule.temporary_rule} ran under {given.rulebook}"
                f" v{given.version} ({given.digest}), and the version to amend is"
                f" {expected.rulebook} v{expected.version} ({expected.digest})."
                " Propose on that version, or leave the trial out."
            )


def _by_rule(trials: Sequence[TrialGrounds]) -> dict[str, list[_Tried]]:
    """Return each rule that an overlay of its own was tried on.

    A modification that served only as compensation for a waiver is not one: it is part
    of that waiver's exception.
    """
    found: dict[str, list[_Tried]] = {}
    for trial in trials:
        overlays = trial.temporary_rule.overlays
        waivers = [item for item in overlays if item.kind == "waiver"]
        serving = {name for item in waivers for name in item.compensates}
        for waiver in overlays:
            if waiver.kind == "waiver" or waiver.exception_to not in serving:
                found.setdefault(waiver.exception_to, []).append(_Tried(waiver, trial))
    return found


def _basis(
    by_rule: Mapping[str, Sequence[_Tried]],
    trials: Sequence[TrialGrounds],
    *,
    is_change: bool,
) -> Basis:
    overlays = [item.waiver for tried in by_rule.values() for item in tried]
    return Basis(
        rules=tuple(by_rule),
        is_waived=any(item.kind == "waiver" for item in overlays),
        is_watched=any(trial.temporary_rule.guardrails for trial in trials),
        is_change=is_change,
    )


def _goals(item: _Tried) -> list[Finding]:
    rules = {item.waiver.exception_to, *item.waiver.compensates}
    return [
        finding
        for finding in item.trial.findings
        if finding.purpose == "goal" and finding.rule in rules
    ]


def _doubts(rulebook: Rulebook, item: _Tried) -> list[str]:
    """Why an overlay was not shown to work; empty when it was."""
    ordered = _about_order(rulebook, item.waiver)
    if ordered:
        return [
            f"No change of {item.waiver.exception_to}: {ordered} asks for the order of"
            " spans, and cannot become a condition on one span. A person must draft it."
        ]
    planned = [finding for finding in _goals(item) if not finding.exploratory]
    if not planned:
        return [
            f"No change of {item.waiver.exception_to}: no planned goal of"
            f" {item.trial.temporary_rule.trial_id} speaks of it or of what compensated"
            " for it."
        ]
    return [
        f"No change of {item.waiver.exception_to}: {ground(finding)} is"
        f" {finding.verdict.replace('_', ' ')}. {finding.statement}"
        for finding in planned
        if finding.verdict != "met"
    ]


def _about_order(rulebook: Rulebook, waiver: Waiver) -> str:
    """Return a rule that would become a condition on one span, and cannot."""
    rules = list(waiver.compensates) if waiver.kind == "waiver" else []
    if waiver.kind == "modification" and waiver.under.strip() != "true":
        rules = [waiver.exception_to]
    return next((name for name in rules if rule_named(rulebook, name).pattern), "")


def _undirected(rulebook: Rulebook, tried: Sequence[_Tried]) -> list[str]:
    """Why none of several values can be called the strictest, if none can."""
    names = {item.waiver.exception_to for item in tried}
    names |= {name for item in tried for name in item.waiver.compensates}
    values: dict[tuple[str, str], set[float]] = {}
    for trial in {id(item.trial): item.trial for item in tried}.values():
        for overlay in trial.temporary_rule.overlays:
            for name, value in overlay.set.items():
                if overlay.exception_to in names:
                    key = (overlay.exception_to, name)
                    values.setdefault(key, set()).add(value)
    return [
        f"No change of {tried[0].waiver.exception_to}: trials tried different values of"
        f" {name} of {rule}, and which is the stricter is not declared."
        for (rule, name), found in values.items()
        if len(found) > 1
        and rule_named(rulebook, rule).parameters[name].looser == "unknown"
    ]


def _support_reasons(item: _Tried) -> Iterator[str]:
    rules = {item.waiver.exception_to, *item.waiver.compensates}
    for finding in _goals(item):
        yield f"{ground(finding)}: {finding.statement}"
    for finding in item.trial.findings:
        if finding.purpose == "harm" and finding.rule in rules:
            yield f"{ground(finding)}: {finding.statement}" + _precaution(item, finding)


def _precaution(item: _Tried, finding: Finding) -> str:
    if finding.verdict != "harm" or item.waiver.kind != "waiver":
        return ""
    return (
        " This is why the rule is not repealed: it stays in force for every unit that"
        f" misses {finding.rule}, so units like those that did harm remain under it."
    )


def _amendment(
    rulebook: Rulebook, rule: Rule, tried: Sequence[_Tried], entry: Entry
) -> Amendment:
    first = tried[0].waiver
    grounds = tuple(
        dict.fromkeys(ground(item) for one in tried for item in _goals(one))
    )
    cited = entry._replace(reference=f"{entry.reference} ({', '.join(grounds)})")
    if first.kind == "waiver":
        by = _compensations(rulebook, tried)
        new = with_exception(rule, first, by=by, entry=cited)
        kept = ", ".join(item.rule.rule for item in by)
        why = f"Units that kept {kept} met the planned goals without it"
    else:
        merged = first.model_copy(update={"set": _strictest(rule, tried)})
        new = with_values(rule, merged, entry=cited)
        why = "The planned goals were met with the values tried"
    return Amendment(
        operation="replace",
        rule=rule.rule,
        new=new,
        why=why,
        grounds=grounds,
        in_force_from=entry.on,
    )


def _compensations(rulebook: Rulebook, tried: Sequence[_Tried]) -> list[Compensation]:
    names = dict.fromkeys(name for item in tried for name in item.waiver.compensates)
    found = []
    for name in names:
        rule = rule_named(rulebook, name)
        overlays = [
            _Tried(overlay, item.trial)
            for item in tried
            for overlay in item.trial.temporary_rule.overlays
            if overlay.exception_to == name and overlay.kind == "modification"
        ]
        found.append(Compensation(rule, _strictest(rule, overlays)))
    return found


def _strictest(rule: Rule, tried: Sequence[_Tried]) -> dict[str, float]:
    values: dict[str, float] = {}
    for item in tried:
        for name, value in item.waiver.set.items():
            higher_is_looser = rule.parameters[name].looser == "higher"
            pick = min if higher_is_looser else max
            values[name] = pick(value, values.get(name, value))
    return values


def _all_grounds(trials: Sequence[TrialGrounds]) -> tuple[str, ...]:
    return tuple(ground(item) for trial in trials for item in trial.findings)
