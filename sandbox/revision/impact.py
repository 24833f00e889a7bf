"""Who and what would have been different under the proposed text.

Rules of this module:

* Every amended rule is asked of every recorded unit of every trial, whatever version
  the trial ran under; trials of different versions are never counted together.
* The proposed text is read as it will read on the day it enters into force, without
  exceptions of trials, and asked as if it had always read so.
* It is compared with what judged the trial, and with the text in force today without
  exceptions, which is what holds for everyone who is in no trial.
* What people and systems did is taken as it was. Under another text they may have done
  something else; no figure shows that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

from sandbox.model.comparison import Comparison, ComparisonAnswer, RuleShifts, Side
from sandbox.model.impact import Baseline, ImpactFigure, ImpactStatement
from sandbox.model.proposal import RevisionProposal
from sandbox.model.record import Digest
from sandbox.model.rule import Amendment, Parameter, Rule, Rulebook, TemporaryRule
from sandbox.ports import Comparisons
from sandbox.revision.adopt import apply_amendments
from sandbox.revision.recorded import Drawn, Recorded, source_of, unasked
from sandbox.rules import reference

_BASELINES: tuple[Baseline, ...] = ("as-recorded", "text-in-force")
_BEHAVIOUR = (
    "What was done is taken as it was done: under the proposed text people and systems"
    " may have acted otherwise."
)
_DELIVERED = (
    "A unit that a producer delivered twice is counted twice, but not by rules about"
    " the order of spans."
)
_NOTHING = "Nothing is amended, so nothing would have been different."


def impact_of(
    proposal: RevisionProposal,
    *,
    rulebook: Rulebook,
    recorded: Sequence[Recorded],
    comparisons: Comparisons,
    left_out: Sequence[str] = (),
) -> ImpactStatement:
    """Return what would have been different under the proposed text.

    Args:
        proposal: What is proposed.
        rulebook: The version it amends.
        recorded: All recorded trials of the rulebook, by version.
        comparisons: Asks two versions of the rules of what was recorded.
        left_out: Trials that are not asked, and why, one sentence each.

    Raises:
        InputError: The amendments do not fit the version.
    """
    trials = tuple(item.trial_id for stratum in recorded for item in stratum.trials)
    statement = ImpactStatement(
        proposal=proposal.proposal,
        amends=proposal.amends,
        trials=trials,
        limits=(_NOTHING,),
        at=proposal.proposed_at,
    )
    if not proposal.amendments:
        return statement
    proposed = apply_amendments(rulebook, proposal.amendments)
    not_asked = unasked(rulebook, proposed, *(item.rulebook for item in recorded))
    asking = _Asking(
        [item for item in proposal.amendments if item.rule not in not_asked],
        today=proposal.proposed_at.date(),
        now=rulebook,
        then=proposed,
    )
    said = [not_asked[x.rule] for x in proposal.amendments if x.rule in not_asked]
    queries: dict[Digest, str] = {}
    figures = tuple(asking.figures(recorded, comparisons, queries))
    return statement.model_copy(
        update={
            "proposed": reference(proposed),
            "figures": figures,
            "queries": queries,
            "limits": (*said, *_limits(figures, left_out)),
        }
    )


def as_if_always(rulebook: Rulebook, on: date) -> Rulebook:
    """Return a rulebook whose values of one day have always been in force.

    A value that would only be dated later has none on that day, and stays as it is.
    """
    rules = tuple(_as_if_always(rule, on) for rule in rulebook.rules)
    return rulebook.model_copy(update={"rules": rules})


def _as_if_always(rule: Rule, on: date) -> Rule:
    parameters = {name: _constant(item, on) for name, item in rule.parameters.items()}
    return rule.model_copy(update={"parameters": parameters})


def _constant(parameter: Parameter, on: date) -> Parameter:
    dates = [day for day in parameter.values if day <= on]
    if not dates:
        return parameter
    always = {date.min: parameter.values[max(dates)]}
    return parameter.model_copy(update={"values": always})


class _Asking:
    """The questions of one proposal."""

    def __init__(
        self,
        amendments: Sequence[Amendment],
        *,
        today: date,
        now: Rulebook,
        then: Rulebook,
    ) -> None:
        self._rules = tuple(item.rule for item in amendments)
        entry = then.in_force_from
        # The day before entry: an amendment may be drafted on the day it enters.
        self._now = as_if_always(now, min(today, entry - timedelta(days=1)))
        self._then = as_if_always(then, entry)

    def figures(
        self,
        recorded: Sequence[Recorded],
        comparisons: Comparisons,
        queries: dict[Digest, str],
    ) -> Iterator[ImpactFigure]:
        """Yield every figure: by version, trial, baseline and rule."""
        first = 1
        if not self._rules:
            return
        for stratum, trial, baseline in _asked(recorded):
            yield from figures_of(
                comparisons.compare(self.question(stratum, trial, baseline)),
                stratum=stratum,
                baseline=baseline,
                first=first,
                queries=queries,
            )
            first += len(self._rules)

    def question(
        self, stratum: Recorded, trial: TemporaryRule, baseline: Baseline
    ) -> Comparison:
        """Return the question of one trial."""
        before = Side(rulebook=self._now)
        if baseline == "as-recorded":
            before = Side(rulebook=stratum.rulebook, overlay=trial)
        return Comparison(
            trial_id=trial.trial_id,
            before=before,
            after=Side(rulebook=self._then),
            rules=self._rules,
            times=stratum.times.get(trial.trial_id),
        )


def _asked(
    recorded: Sequence[Recorded],
) -> Iterator[tuple[Recorded, TemporaryRule, Baseline]]:
    for stratum in recorded:
        for trial in stratum.trials:
            for baseline in _BASELINES:
                yield stratum, trial, baseline


def figures_of(
    answer: ComparisonAnswer,
    *,
    stratum: Recorded,
    baseline: Baseline,
    first: int,
    queries: dict[Digest, str],
) -> Iterator[ImpactFigure]:
    """Yield the figures of an answer.

    Args:
        answer: What was asked of one trial.
        stratum: The version the trial ran under.
        baseline: What the proposed text was compared with.
        first: Number of the first figure.
        queries: Takes the text of every question.
    """
    for number, item in enumerate(answer.rules, start=first):
        yield ImpactFigure(
            figure=f"I-{number}",
            trial_id=answer.evidence.trial_id,
            rule=item.rule,
            compared_with=baseline,
            shifts=item.shifts,
            singly=item.singly,
            source=source_of(stratum, _drawn(answer, item), queries=queries),
        )


def _drawn(answer: ComparisonAnswer, item: RuleShifts) -> Drawn:
    return Drawn(
        rules_digests=(answer.before_digest, answer.after_digest),
        data_digest=answer.data_digest,
        evidence=(answer.evidence,),
        statements=item.statements,
        engine=answer.engine,
    )


def _limits(figures: Sequence[ImpactFigure], left_out: Sequence[str]) -> Iterator[str]:
    yield _BEHAVIOUR
    yield _DELIVERED
    yield from left_out
    for trial_id in dict.fromkeys(item.trial_id for item in figures):
        sources = [item.source for item in figures if item.trial_id == trial_id]
        if erased := max(item.erased for item in sources):
            yield f"{erased} segments of {trial_id} are erased and were not asked."
        if unsealed := max(item.unsealed for item in sources):
            yield f"{unsealed} segments of {trial_id} were not sealed and not asked."
        if not any(item.segments for item in sources):
            yield f"Nothing is recorded of {trial_id}."
