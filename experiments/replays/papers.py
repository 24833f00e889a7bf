"""The documents of a replay, read and checked like anybody's.

A replay has no applicant and no authority, so its `trial.yaml` holds only what decides
the judgement: the overlay, its interval and scope, and the plan. The plan is checked
and locked by its digest as that of any trial.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import NamedTuple, TypeVar

from sandbox.errors import InputError
from sandbox.findings import check_plan, plan_digest
from sandbox.model.application import Defect, TrialPlan
from sandbox.model.document import read_document
from sandbox.model.record import Interval, Record, TrialId
from sandbox.model.rule import Rulebook, Scope, TemporaryRule, Waiver
from sandbox.procedure.designs import check_design
from sandbox.rules import guardrail_of, read_rulebook, reference

Q = TypeVar("Q", bound=Record)


class TrialExcerpt(Record):
    """What an application and its approval would have fixed before the trial."""

    trial: TrialId
    in_force: Interval
    scope: Scope
    overlays: tuple[Waiver, ...]
    plan: TrialPlan
    limits: tuple[str, ...]
    """What the replay cannot show, one sentence each; stands in every finding."""


class Papers(NamedTuple):
    """Everything that was fixed before the data are looked at."""

    trial_id: str
    rulebook: Rulebook
    temporary_rule: TemporaryRule
    plan: TrialPlan
    limits: tuple[str, ...]


def read_papers(package: str) -> Papers:
    """Read `rulebook.yaml` and `trial.yaml` of an experiment.

    Args:
        package: The experiment's package, where its documents stand.

    Raises:
        InputError: A document is wrong, or the plan cannot be judged as written.
    """
    rulebook = read_rulebook(_text(package, "rulebook.yaml"), file="rulebook.yaml")
    trial = read_question(package, "trial.yaml", TrialExcerpt)
    defects = tuple(_defects(trial.plan))
    if defects:
        raise InputError(defects)
    rule = TemporaryRule(
        temporary_rule=f"trial/{trial.trial}",
        trial_id=trial.trial,
        of=reference(rulebook),
        in_force=trial.in_force,
        scope=trial.scope,
        overlays=trial.overlays,
        guardrails=tuple(guardrail_of(harm) for harm in trial.plan.harms),
        plan_digest=plan_digest(trial.plan),
    )
    return Papers(trial.trial, rulebook, rule, trial.plan, trial.limits)


def _defects(plan: TrialPlan) -> Iterator[Defect]:
    yield from check_plan(plan, file="trial.yaml")
    for number, goal in enumerate(plan.goals):
        yield from check_design(goal, f"plan.goals.{number}")


def read_question(package: str, file: str, model: type[Q]) -> Q:
    """Read a further document of an experiment, such as its question about two groups.

    Raises:
        InputError: It is wrong; carries every `Defect`.
    """
    return read_document(_text(package, file), model, file=file)


def _text(package: str, file: str) -> str:
    return (files(package) / file).read_text(encoding="utf-8")
