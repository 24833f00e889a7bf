"""Candidate values of a parameter, and the one backtest that asks all of them.

Rules of this module:

* A value that may have been in force has a copy of the rule that is satisfied where it
  was; a candidate has a copy in which the parameter always had that value.
* The trial's exceptions hold for every copy; what they set of the parameter itself is
  left out where a candidate takes its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date

from sandbox.model.backtest import Backtest
from sandbox.model.rule import (
    Rule,
    Rulebook,
    TemporaryRule,
    Waiver,
)
from sandbox.revision.recorded import Recorded
from sandbox.rules import always, over, rule_named

IN_FORCE, CANDIDATE = "in-force", "candidate"
"""Copies of the rule are called `in-force/0`, `candidate/0` and so on."""


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


class Asked:
    """The backtest of one parameter: a rule of its own for every value.

    Args:
        rule: The rule.
        parameter: Its parameter.
        recorded: The stratum that is asked.
    """

    def __init__(self, rule: Rule, parameter: str, recorded: Recorded) -> None:
        self._rule = rule
        self._parameter = parameter
        self._recorded = recorded
        self.known = sorted(set(_documented(recorded, rule.rule, parameter, date.max)))

    def question(self, candidates: Sequence[float]) -> Backtest:
        """Return the question for what was in force and for the candidates."""
        probes = [
            (f"{IN_FORCE}/{number}", self._probe(value))
            for number, value in enumerate(self.known)
        ]
        anew = [
            (f"{CANDIDATE}/{number}", self._with(value))
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
            times=dict(self._recorded.times),
        )

    def _probe(self, value: float) -> Rule:
        """Return a rule that is satisfied where the value is in force."""
        asks = f"params.{self._parameter} == {float(value)!r}"
        pattern, applies = self._rule.pattern, self._rule.applies
        unit = pattern and (pattern.every or pattern.of)
        if unit:
            applies = f"({applies}\n) && ({unit}\n)"
        update = {"applies": applies, "requires": asks, "pattern": None}
        return self._rule.model_copy(update=update)

    def _with(self, value: float) -> Rule:
        spec = self._rule.parameters[self._parameter]
        changed = {**self._rule.parameters, self._parameter: always(spec, value)}
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
