"""How far the evidence reaches for a candidate value of a parameter.

Rules of this module:

* *supported*: the value lies between the tightest and the loosest that were in force
  for recorded units, so the behaviour was seen under a rule at least that loose, and
  something at least that tight was asked of someone.
* *censored*: it is looser than all that were in force; what would have happened, the
  rule itself prevented (a violation pauses the trial).
* *extrapolated*: it is tighter than all that were in force, so it was never required of
  anyone; that some units would have kept it does not show that all could.
* What counts as in force is what the observations read, not what a document says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import NamedTuple

from sandbox.errors import RuleError
from sandbox.model.observation import Observation, Span
from sandbox.model.proposal import Support, SupportLabel
from sandbox.model.rule import ParameterValue, Rule, Rulebook
from sandbox.rules import compile_rules


class _Tried(NamedTuple):
    """What was in force for recorded units."""

    values: list[float]
    units: int
    higher_is_looser: bool


def label_support(
    parameter: str,
    candidates: Iterable[float],
    *,
    rule: Rule,
    observations: Sequence[Observation],
    spans: Sequence[Span] = (),
) -> tuple[SupportLabel, ...]:
    """Label candidate values by what the recorded units can say of them.

    Args:
        parameter: Name of the parameter in `rule`.
        candidates: Values to label.
        rule: The rule whose parameter it is.
        observations: Recorded observations of all trials; other rules are skipped.
        spans: The recorded spans, if at hand: the rule is judged on them anew with
            each candidate, and the reason says how many would keep it.

    Returns:
        One label for each candidate, in their order.

    Raises:
        RuleError: The rule has no such parameter, or nothing was recorded under it.
    """
    if parameter not in rule.parameters:
        raise RuleError(
            f"{rule.rule} has no parameter {parameter}; name one of"
            f" {', '.join(sorted(rule.parameters)) or 'none'}."
        )
    units = [item for item in observations if item.rule == rule.rule]
    values = tried_values(parameter, units)
    if not values:
        raise RuleError(
            f"No unit was recorded under {rule.rule} with {parameter}, so nothing can"
            " be said of other values. Record evidence first."
        )
    looser = rule.parameters[parameter].looser == "higher"
    tried = _Tried(values, len(units), looser)
    return tuple(
        _label(parameter, value, tried, _rejudged(rule, parameter, value, spans))
        for value in candidates
    )


def tried_values(parameter: str, units: Iterable[Observation]) -> list[float]:
    """Return the values of a parameter that were in force for the units, ascending."""
    read = (unit.values.get(f"params.{parameter}") for unit in units)
    return sorted({float(value) for value in read if isinstance(value, int | float)})


def candidates_of(
    rule: Rule, parameter: str, observations: Iterable[Observation], *, on: date
) -> list[float]:
    """Return values worth a label: tried, in force, and one step beyond on each
    side.
    """
    units = [item for item in observations if item.rule == rule.rule]
    known = set(tried_values(parameter, units))
    dated = [day for day in rule.parameters[parameter].values if day <= on]
    if dated:
        known.add(rule.parameters[parameter].values[max(dated)].value)
    if not known:
        return []
    low, high = min(known), max(known)
    step = (high - low) or abs(high) / 2
    beyond = {round(low - step, 6), round(high + step, 6)}
    return sorted(known | {value for value in beyond if value > 0 or low <= 0})


def _label(parameter: str, value: float, tried: _Tried, rejudged: str) -> SupportLabel:
    low, high = tried.values[0], tried.values[-1]
    seen = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    label: Support
    if low <= value <= high:
        label = "supported"
        reason = f"{tried.units} units were recorded with {parameter} = {seen}."
    elif (value > high) == tried.higher_is_looser:
        label = "censored"
        reason = (
            f"Looser than the {seen} in force: a unit beyond it counted as a violation,"
            " so how the system behaves there was prevented, not seen."
        )
    else:
        label = "extrapolated"
        reason = f"Tighter than the {seen} in force: it was never required of anyone."
    return SupportLabel(
        parameter=parameter,
        value=value,
        label=label,
        reason=f"{reason} {rejudged}".strip(),
    )


def _rejudged(rule: Rule, parameter: str, value: float, spans: Sequence[Span]) -> str:
    """Say how many recorded spans would keep the rule with another value."""
    if not spans:
        return ""
    compiled = compile_rules(_alone(_with_value(rule, parameter, value)))
    results = [
        outcome.result
        for span in spans
        for outcome in compiled.judge(span, at=_day(span))
    ]
    kept = results.count("satisfied")
    return f"Judged anew with {value:g}, {kept} of {len(results)} would keep the rule."


def _day(span: Span) -> date:
    return datetime.fromtimestamp(span.start_unix_nano / 1e9, UTC).date()


def _with_value(rule: Rule, parameter: str, value: float) -> Rule:
    spec = rule.parameters[parameter]
    fixed = {
        day: ParameterValue(value=value, reference="candidate") for day in spec.values
    }
    changed = {**rule.parameters, parameter: spec.model_copy(update={"values": fixed})}
    return rule.model_copy(update={"parameters": changed})


def _alone(rule: Rule) -> Rulebook:
    dates = [min(spec.values) for spec in rule.parameters.values()]
    return Rulebook(
        rulebook="candidate",
        version=1,
        title="One rule with a candidate value",
        owner="candidate",
        in_force_from=max(dates),
        rules=(rule,),
    )
