"""Would a running trial be compliant under a new version?

Rules of this module:

* A temporary rule stands over one version. It could stand over another only if every
  rule it speaks of is there, may be waived where it waives, and has the parameters it
  sets.
* Units recorded so far are asked under the new version with the exceptions that fit.
* A rule about other things than spans is not asked; that it changes is said. Evidence
  that cannot be read is said too.
* Nothing is changed here: who adopts chooses, for each trial, whether it stays pinned
  to its version or ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sandbox.errors import EvidenceError
from sandbox.model.application import TrialPlan
from sandbox.model.comparison import Comparison, Side
from sandbox.model.impact import ImpactFigure, TrialPreview
from sandbox.model.record import Digest
from sandbox.model.rule import Rule, Rulebook, TemporaryRule, Waiver
from sandbox.ports import Comparisons
from sandbox.revision.impact import as_if_always, figures_of
from sandbox.revision.recorded import Recorded, unasked
from sandbox.rules import check_temporary_rule, over, reference


class RunningTrial(NamedTuple):
    """A trial that runs under some version."""

    rulebook: Rulebook
    """That version."""
    temporary_rule: TemporaryRule
    plan: TrialPlan


def preview(
    trial: RunningTrial, proposed: Rulebook, *, comparisons: Comparisons
) -> TrialPreview:
    """Return what a new version would mean for a running trial.

    Args:
        trial: The trial.
        proposed: The new version.
        comparisons: Asks two versions of the rules of what was recorded.
    """
    temporary = trial.temporary_rule
    queries: dict[Digest, str] = {}
    figures: tuple[ImpactFigure, ...] = ()
    unfit = [
        reason
        for item in temporary.overlays
        for reason in _unfit(item, temporary, proposed)
    ]
    try:
        figures = _figures(trial, proposed, comparisons, queries)
    except EvidenceError as error:
        if error.retryable:
            raise
        unfit.append(f"What was recorded cannot be read: {error.diagnosis}.")
    return TrialPreview(
        trial_id=temporary.trial_id,
        under=reference(trial.rulebook),
        unfit=tuple(unfit),
        touched=(
            *_touched(trial, _changed(trial.rulebook, proposed)),
            *_unseen(trial, proposed),
        ),
        figures=figures,
        queries=queries,
    )


def _unseen(trial: RunningTrial, proposed: Rulebook) -> Iterator[str]:
    """Say which rules change of which recorded units are not asked, and why not."""
    not_asked = unasked(trial.rulebook, proposed)
    for name in _changed(trial.rulebook, proposed):
        if name in not_asked:
            yield f"{name} changes. {not_asked[name]}"


def _figures(
    trial: RunningTrial,
    proposed: Rulebook,
    comparisons: Comparisons,
    queries: dict[Digest, str],
) -> tuple[ImpactFigure, ...]:
    """Return what was recorded so far, under the new version.

    Raises:
        EvidenceError: It cannot be read.
    """
    not_asked = unasked(trial.rulebook, proposed)
    changed = _changed(trial.rulebook, proposed)
    asked = tuple(name for name in changed if name not in not_asked)
    if not asked:
        return ()
    found = figures_of(
        comparisons.compare(_question(trial, proposed, asked)),
        stratum=Recorded(trial.rulebook, (trial.temporary_rule,)),
        baseline="as-recorded",
        first=1,
        queries=queries,
    )
    return tuple(found)


def _question(
    trial: RunningTrial, proposed: Rulebook, rules: tuple[str, ...]
) -> Comparison:
    """Return the question for the new version with the exceptions that fit."""
    temporary = trial.temporary_rule
    fitting = tuple(
        item
        for item in temporary.overlays
        if not list(_unfit(item, temporary, proposed))
    )
    then = as_if_always(proposed, proposed.in_force_from)
    kept = over(then, temporary.model_copy(update={"overlays": fitting}))
    return Comparison(
        trial_id=temporary.trial_id,
        before=Side(rulebook=trial.rulebook, overlay=temporary),
        after=Side(rulebook=then, overlay=kept),
        rules=rules,
    )


def _by_name(rulebook: Rulebook) -> dict[str, Rule]:
    return {item.rule: item for item in rulebook.rules}


def _changed(before: Rulebook, after: Rulebook) -> dict[str, None]:
    """Return the rules that differ, in order: changed, gone, new."""
    old, new = _by_name(before), _by_name(after)
    return dict.fromkeys(
        name for name in (*old, *new) if old.get(name) != new.get(name)
    )


def _unfit(waiver: Waiver, trial: TemporaryRule, proposed: Rulebook) -> Iterator[str]:
    """Say why an exception could not stand over a version."""
    alone = over(proposed, trial.model_copy(update={"overlays": (waiver,)}))
    yield from (f"{item.what}." for item in check_temporary_rule(alone, proposed))
    there = _by_name(proposed)
    for name in waiver.compensates:
        if name not in there:
            yield f"`{waiver.label}` is compensated for by `{name}`, which is repealed."


def _touched(trial: RunningTrial, changed: Mapping[str, None]) -> Iterator[str]:
    temporary = trial.temporary_rule
    read = [
        *((item.estimand.of, f"The goal {item.goal}") for item in trial.plan.goals),
        *((item.of, f"The harm {item.harm}") for item in trial.plan.harms),
        *((item.watches, f"The guardrail {item.id}") for item in temporary.guardrails),
        *(
            (item.exception_to, f"The exception {item.label}")
            for item in temporary.overlays
        ),
    ]
    for rule, what in read:
        if rule in changed:
            yield f"{what} is about {rule}, which changes."
