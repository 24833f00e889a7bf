"""How far the evidence reaches for a candidate value of a parameter.

Rules of this module:

* *supported*: the value lies between the tightest and the loosest that were in force
  for recorded units, so the behaviour was seen under a rule at least that loose, and
  something at least that tight was asked of someone.
* *censored*: it is looser than all that were in force; what would have happened, the
  rule itself prevented (a violation pauses the trial).
* *extrapolated*: it is tighter than all that were in force, so it was never required of
  anyone; that some units would have kept it does not show that all could.
* Without a direction that loosens, and without recorded units, no label is claimed.
* What counts as in force is what judged the units, not what a document says.
* Labels are of one stratum each; units of two versions are never counted together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sandbox.errors import RuleError
from sandbox.model.backtest import BacktestAnswer
from sandbox.model.finding import Counts
from sandbox.model.impact import FigureSource
from sandbox.model.proposal import RevisionProposal, Support, SupportLabel
from sandbox.model.record import Digest
from sandbox.ports import Backtests
from sandbox.revision.candidates import (
    CANDIDATE,
    IN_FORCE,
    Asked,
    candidates_of,
    has_parameter,
)
from sandbox.revision.recorded import Drawn, Recorded, source_of, why_not_labelled
from sandbox.rules import rule_named


class Labelled(NamedTuple):
    """Labels, and the text of the questions they follow from."""

    labels: tuple[SupportLabel, ...]
    queries: Mapping[Digest, str]


class _Tried(NamedTuple):
    """What was in force for the recorded units of a stratum."""

    units: Mapping[float, int]
    """Value → units for which it was in force; those with units alone."""
    looser: str


class _Candidate(NamedTuple):
    """A candidate value and the recorded units judged anew with it."""

    rule: str
    parameter: str
    value: float
    counts: Counts


def label_support(
    parameter: str,
    candidates: Iterable[float],
    *,
    rule: str,
    recorded: Recorded,
    backtests: Backtests,
) -> Labelled:
    """Label candidate values by what the recorded units of a stratum can say of them.

    Every candidate, and every value that may have been in force, is asked in one
    backtest, over the trials' exceptions; only this parameter is another.

    Args:
        parameter: Name of the parameter in `rule`.
        candidates: Values to label.
        rule: The rule whose parameter it is.
        recorded: All recorded trials of one version.
        backtests: Asks the rules of what was recorded.

    Returns:
        One label for each candidate, in their order.

    Raises:
        RuleError: The rule has no such parameter.
    """
    found = rule_named(recorded.rulebook, rule)
    if parameter not in found.parameters:
        known = ", ".join(sorted(found.parameters)) or "none"
        raise RuleError(f"{rule} has no parameter {parameter}; name one of {known}.")
    if reason := why_not_labelled(found):
        return Labelled(_unlabelled(rule, parameter, candidates, reason), {})
    asked, values = Asked(found, parameter, recorded), list(candidates)
    answer = backtests.backtest(asked.question(values))
    queries: dict[Digest, str] = {}
    source = source_of(recorded, _drawn(answer), queries=queries)
    counts = _counted(answer)
    in_force = (
        counts.get(f"{IN_FORCE}/{n}", Counts()) for n in range(len(asked.known))
    )
    tried = _Tried(
        {
            value: item.satisfied
            for value, item in zip(asked.known, in_force, strict=True)
            if item.satisfied
        },
        found.parameters[parameter].looser,
    )
    anew = (counts.get(f"{CANDIDATE}/{n}", Counts()) for n in range(len(values)))
    labels = tuple(
        _label(_Candidate(rule, parameter, value, item), tried, source)
        for value, item in zip(values, anew, strict=True)
    )
    return Labelled(labels, queries)


def _unlabelled(
    rule: str, parameter: str, values: Iterable[float], reason: str
) -> tuple[SupportLabel, ...]:
    return tuple(
        SupportLabel(
            rule=rule, parameter=parameter, value=value, label=None, reason=reason
        )
        for value in values
    )


def with_support(
    proposal: RevisionProposal, *, recorded: Sequence[Recorded], backtests: Backtests
) -> RevisionProposal:
    """Return a proposal with labels of every parameter that an exception changed.

    Args:
        proposal: As drafted.
        recorded: All recorded trials of the rulebook, by version.
        backtests: Asks the rules of what was recorded.
    """
    labels: list[SupportLabel] = []
    queries: dict[Digest, str] = {}
    for rule, name in _changed(recorded):
        values = candidates_of(rule, name, recorded, on=proposal.proposed_at.date())
        for stratum in recorded:
            if stratum.trials and has_parameter(stratum.rulebook, rule, name):
                found = label_support(
                    name, values, rule=rule, recorded=stratum, backtests=backtests
                )
                labels += found.labels
                queries |= found.queries
    changed = {"support": tuple(labels), "queries": queries}
    return proposal.model_copy(update=changed)


def _changed(recorded: Iterable[Recorded]) -> dict[tuple[str, str], None]:
    """Return (rule, parameter) of every value that an exception set, each once."""
    return dict.fromkeys(
        (overlay.exception_to, name)
        for stratum in recorded
        for trial in stratum.trials
        for overlay in trial.overlays
        for name in overlay.set
    )


def _counted(answer: BacktestAnswer) -> dict[str, Counts]:
    """Return the counts of each copy of the rule, over all trials of the stratum."""
    found: dict[str, Counts] = {}
    for item in answer.counts:
        sofar = found.get(item.rule, Counts())
        found[item.rule] = Counts(
            satisfied=sofar.satisfied + item.satisfied,
            violated=sofar.violated + item.violated,
            not_evaluable=sofar.not_evaluable + item.not_evaluable,
        )
    return found


def _drawn(answer: BacktestAnswer) -> Drawn:
    return Drawn(
        rules_digests=list(answer.rules_digests.values()),
        data_digest=answer.data_digest,
        evidence=answer.evidence,
        statements=answer.statements,
        engine=answer.engine,
    )


def _label(candidate: _Candidate, tried: _Tried, source: FigureSource) -> SupportLabel:
    label, reason = _judged(candidate.parameter, candidate.value, tried)
    return SupportLabel(
        **candidate._asdict(),
        label=label,
        reason=f"{reason} {_rejudged(candidate.value, candidate.counts)}".strip(),
        units=sum(tried.units.values()),
        source=source,
    )


def _judged(parameter: str, value: float, tried: _Tried) -> tuple[Support | None, str]:
    if not tried.units:
        return None, f"No unit was recorded with a value of {parameter} in force."
    low, high = min(tried.units), max(tried.units)
    seen = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    if tried.looser == "unknown":
        return None, (
            f"Whether a higher or a lower {parameter} is looser is not declared, so"
            f" nothing is claimed; {seen} was in force."
        )
    if low <= value <= high:
        units = sum(tried.units.values())
        return "supported", f"{units} units were recorded with {parameter} = {seen}."
    if (value > high) == (tried.looser == "higher"):
        return "censored", (
            f"Looser than the {seen} in force: a unit beyond it counted as a violation,"
            " so how the system behaves there was prevented, not seen."
        )
    return (
        "extrapolated",
        f"Tighter than the {seen} in force: it was never required of anyone.",
    )


def _rejudged(value: float, counts: Counts) -> str:
    """Say how many recorded units would keep the rule with another value."""
    if not counts.units:
        return ""
    said = (
        f"Judged anew with {value:g}, {counts.satisfied} of {counts.units} would keep"
        " the rule"
    )
    if counts.not_evaluable:
        said += f" and {counts.not_evaluable} could not be evaluated"
    return f"{said}."
