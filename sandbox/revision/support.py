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

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import NamedTuple

from sandbox.errors import RuleError
from sandbox.model.backtest import Backtest, BacktestAnswer
from sandbox.model.finding import Counts
from sandbox.model.proposal import RevisionProposal, Support, SupportLabel
from sandbox.model.record import Digest
from sandbox.model.rule import (
    Parameter,
    ParameterValue,
    Rule,
    Rulebook,
    TemporaryRule,
    Waiver,
)
from sandbox.ports import Backtests
from sandbox.revision.recorded import Drawn, Recorded, source_of
from sandbox.rules import over, rule_named

_IN_FORCE, _CANDIDATE = "in-force", "candidate"


class Labelled(NamedTuple):
    """Labels, and the text of the questions they follow from."""

    labels: tuple[SupportLabel, ...]
    queries: Mapping[Digest, str]


class _Tried(NamedTuple):
    """What was in force for the recorded units of a stratum."""

    units: Mapping[float, int]
    """Value → units for which it was in force; those with units alone."""
    looser: str


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
    values = list(candidates)
    asked = _Asked(found, parameter, recorded)
    answer = backtests.backtest(asked.question(values))
    counted = _counted(answer)
    in_force = {
        value: counted.get(f"{_IN_FORCE}/{number}", Counts()).satisfied
        for number, value in enumerate(asked.known)
    }
    tried = _Tried(
        {value: units for value, units in in_force.items() if units},
        found.parameters[parameter].looser,
    )
    queries: dict[Digest, str] = {}
    source = source_of(recorded, _drawn(answer), queries=queries)
    labels = []
    for number, value in enumerate(values):
        counts = counted.get(f"{_CANDIDATE}/{number}", Counts())
        label, reason = _label(parameter, value, tried)
        labels.append(
            SupportLabel(
                rule=rule,
                parameter=parameter,
                value=value,
                label=label,
                reason=f"{reason} {_rejudged(value, counts)}".strip(),
                units=sum(tried.units.values()),
                counts=counts,
                source=source,
            )
        )
    return Labelled(tuple(labels), queries)


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


def candidates_of(
    rule: str, parameter: str, recorded: Iterable[Recorded], *, on: date
) -> list[float]:
    """Return values worth a label: all that may have been in force, and one step beyond
    on each side.

    Args:
        rule: The rule.
        parameter: Its parameter.
        recorded: The strata; a version without that parameter has no value.
        on: Values dated later are no candidates.
    """
    known = sorted(
        {
            value
            for stratum in recorded
            for value in _documented(stratum, rule, parameter, on)
        }
    )
    if not known:
        return []
    low, high = known[0], known[-1]
    step = (high - low) or abs(high) / 2
    beyond = {round(low - step, 6), round(high + step, 6)}
    return sorted({*known, *(value for value in beyond if value > 0 or low <= 0)})


def has_parameter(rulebook: Rulebook, rule: str, parameter: str) -> bool:
    """Return whether a version has a rule with this parameter."""
    return any(
        item.rule == rule and parameter in item.parameters for item in rulebook.rules
    )


def _changed(recorded: Iterable[Recorded]) -> dict[tuple[str, str], None]:
    """Return (rule, parameter) of every value that an exception set, each once."""
    return dict.fromkeys(
        (overlay.exception_to, name)
        for stratum in recorded
        for trial in stratum.trials
        for overlay in trial.overlays
        for name in overlay.set
    )


class _Asked:
    """The backtest of one parameter: a rule of its own for every value."""

    def __init__(self, rule: Rule, parameter: str, recorded: Recorded) -> None:
        self._rule = rule
        self._parameter = parameter
        self._recorded = recorded
        self.known = sorted(set(_documented(recorded, rule.rule, parameter, date.max)))

    def question(self, candidates: Sequence[float]) -> Backtest:
        """Return the question for what was in force and for the candidates."""
        probes = [
            (f"{_IN_FORCE}/{number}", self._probe(value))
            for number, value in enumerate(self.known)
        ]
        anew = [
            (f"{_CANDIDATE}/{number}", self._with(value))
            for number, value in enumerate(candidates)
        ]
        rules = [rule.model_copy(update={"rule": name}) for name, rule in probes + anew]
        book = self._recorded.rulebook.model_copy(update={"rules": tuple(rules)})
        return Backtest(
            rulebook=book,
            trials=tuple(item.trial_id for item in self._recorded.trials),
            overlays={
                item.trial_id: over(book, self._copied(item, probes, anew))
                for item in self._recorded.trials
            },
        )

    def _probe(self, value: float) -> Rule:
        """Return a rule that is satisfied where the value is in force."""
        asks = f"params.{self._parameter} == {float(value)!r}"
        return self._rule.model_copy(update={"requires": asks})

    def _with(self, value: float) -> Rule:
        spec = self._rule.parameters[self._parameter]
        changed = {**self._rule.parameters, self._parameter: _always(spec, value)}
        return self._rule.model_copy(update={"parameters": changed})

    def _copied(
        self,
        trial: TemporaryRule,
        probes: Iterable[tuple[str, Rule]],
        anew: Iterable[tuple[str, Rule]],
    ) -> TemporaryRule:
        """Return the exceptions of a trial for every copy of the rule."""
        own = [item for item in trial.overlays if item.exception_to == self._rule.rule]
        overlays = [
            waiver.model_copy(update={"exception_to": name})
            for name, _ in probes
            for waiver in own
        ]
        overlays += [
            waiver.model_copy(update={"exception_to": name})
            for name, _ in anew
            for waiver in self._without(own)
        ]
        return trial.model_copy(update={"overlays": tuple(overlays)})

    def _without(self, overlays: Iterable[Waiver]) -> Iterator[Waiver]:
        """Yield exceptions without the parameter, which is the candidate's now."""
        for waiver in overlays:
            rest = {
                name: value
                for name, value in waiver.set.items()
                if name != self._parameter
            }
            if waiver.kind == "waiver" or rest:
                yield waiver.model_copy(update={"set": rest})


def _always(parameter: Parameter, value: float) -> Parameter:
    # One date before all spans: a value that was first dated later is judged as well.
    always = {date.min: ParameterValue(value=value, reference="candidate")}
    return parameter.model_copy(update={"values": always})


def _documented(
    recorded: Recorded, rule: str, parameter: str, on: date
) -> Iterator[float]:
    """Yield every value that may have been in force for units of a stratum."""
    if not has_parameter(recorded.rulebook, rule, parameter):
        return
    values = rule_named(recorded.rulebook, rule).parameters[parameter].values
    yield from (item.value for day, item in values.items() if day <= on)
    for trial in recorded.trials:
        for waiver in trial.overlays:
            if waiver.exception_to == rule and parameter in waiver.set:
                yield waiver.set[parameter]


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


def _label(parameter: str, value: float, tried: _Tried) -> tuple[Support | None, str]:
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
