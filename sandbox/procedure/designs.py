"""Does each goal and harm bring what its design needs, and nothing it ignores?

Rules of this module:

* What a design needs is fixed in the plan; there are no silent defaults for it.
* A setting that the design would not read is a defect: it promises what is not done.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sandbox.model.application import (
    Arms,
    Defect,
    Harm,
    Hypothesis,
    Stages,
    TrialPlan,
)

_FIELD = re.compile(
    r"span\.(name|kind|service|status|duration_s|(attributes|resource)\..+)"
)


def check_designs(plan: TrialPlan) -> Iterator[Defect]:
    """Yield what is wrong with the settings of the designs of all goals and harms."""
    for number, goal in enumerate(plan.goals):
        yield from check_design(goal, f"plan.goals.{number}")
    for number, harm in enumerate(plan.harms):
        yield from check_signal(harm, f"plan.harms.{number}")


def check_design(goal: Hypothesis, field: str) -> Iterator[Defect]:
    """Yield what is wrong with the settings of one goal's design.

    Args:
        goal: From the plan.
        field: Path of the goal, for example `plan.goals.0`.
    """
    if goal.estimand.mean is not None and goal.design != "one-sided-sequence":
        yield _defect(
            "design-not-for-a-mean",
            f"`{goal.design}` judges no mean",
            "Write `design: one-sided-sequence`, or a proportion as the estimand",
            f"{field}.design",
        )
    yield from _check_settings(goal, field)
    if goal.equivalence and (goal.design == "two-arm" or goal.estimand.mean):
        yield _defect(
            "equivalence-not-used",
            "what one may believe is told of a proportion only, so `equivalence` is not"
            " read",
            "Remove it",
            f"{field}.equivalence",
        )
    yield from _check_field(goal.estimand.mean, f"{field}.estimand.mean")
    if goal.arms is not None:
        yield from _check_field(goal.arms.by, f"{field}.arms.by")
    yield from _check_stages(goal, goal.stages, f"{field}.stages")
    yield from _check_arms(goal.arms, f"{field}.arms")


def check_signal(harm: Harm, field: str) -> Iterator[Defect]:
    """Yield what is wrong with the settings of the design of one harm.

    Args:
        harm: From the plan.
        field: Path of the harm, for example `plan.harms.0`.
    """
    given, design = harm.signal.looks_every is not None, harm.signal.design
    if design == "grouped-maxsprt" and not given:
        yield _defect(
            "looks-every-missing",
            f"the design `{design}` needs `looks_every`",
            "Add for example `looks_every: 50`, the units of a group",
            f"{field}.signal.looks_every",
        )
    elif given and design != "grouped-maxsprt":
        yield _defect(
            "looks-every-not-used",
            f"the design `{design}` looks after every unit and does not read"
            " `looks_every`",
            "Remove it, or write `design: grouped-maxsprt`",
            f"{field}.signal.looks_every",
        )


_SETTINGS = (
    ("stages", "two-stage", "`stages: {p1: 0.98, beta: 0.2}`"),
    (
        "arms",
        "two-arm",
        "`arms: {by: span.attributes.arm, treated: …, control: …}`",
    ),
)
"""A setting, the one design that reads it, and how it is written."""


def _check_settings(goal: Hypothesis, field: str) -> Iterator[Defect]:
    for name, design, example in _SETTINGS:
        given = getattr(goal, name) is not None
        if goal.design == design and not given:
            yield _defect(
                f"{name}-missing",
                f"the design `{design}` needs `{name}`",
                f"Add for example {example}",
                f"{field}.{name}",
            )
        elif given and goal.design != design:
            yield _defect(
                f"{name}-not-used",
                f"the design `{goal.design}` does not read `{name}`",
                f"Remove it, or write `design: {design}`",
                f"{field}.{name}",
            )


def _check_field(name: str | None, field: str) -> Iterator[Defect]:
    if name is not None and not _FIELD.fullmatch(name):
        yield _defect(
            "not-a-field-of-spans",
            f"`{name}` is no field of a span, so no unit would have a value",
            "Write `span.duration_s`, `span.name`, or `span.attributes.` and a key",
            field,
        )


def _check_stages(
    goal: Hypothesis, stages: Stages | None, field: str
) -> Iterator[Defect]:
    if stages is None or goal.design != "two-stage" or goal.estimand.mean is not None:
        return
    at_least = goal.estimand.direction == "at_least"
    if (stages.p1 > goal.threshold) != at_least or stages.p1 == goal.threshold:
        side = "above" if at_least else "below"
        yield _defect(
            "p1-on-the-wrong-side",
            f"`p1` is {stages.p1:g}; the claim is better than the threshold"
            f" {goal.threshold:g}, so `p1` must lie {side} it",
            f"Write the proportion that must not be missed, {side} {goal.threshold:g}",
            f"{field}.p1",
        )


def _check_arms(arms: Arms | None, field: str) -> Iterator[Defect]:
    if arms is not None and arms.treated == arms.control:
        yield _defect(
            "arms-alike",
            f"both arms are called `{arms.treated}`",
            "Give each the value of `by` that its units carry",
            f"{field}.control",
        )


def _defect(check: str, what: str, remedy: str, field: str) -> Defect:
    return Defect(code=f"application/{check}", what=what, remedy=remedy, field=field)
