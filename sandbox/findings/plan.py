"""The locked plan: its digest, and whether it can show what it claims.

Rules of this module:

* A plan is identified by the digest of its canonical JSON; a changed plan is another
  plan, and what it adds later is exploratory for ever.
* Before a plan is locked, the innovator learns what it can show at best: a goal that
  the least number of units could never meet, even if all went well, is a defect, with
  the number of units it would take. So is a harm whose guardrail would be silent even
  if every unit were harmful.
"""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.errors import JudgementError
from sandbox.findings.feasibility import Feasibility, feasibility
from sandbox.model.application import Defect, Harm, Hypothesis, TrialPlan
from sandbox.model.record import digest_of
from sandbox.model.rule import HarmLimit
from sandbox.monitor.limit import group_of, horizon_units, signal_chance
from sandbox.procedure.designs import check_design, check_signal
from sandbox.rules import guardrail_of


def plan_digest(plan: TrialPlan) -> str:
    """Return the digest under which the plan is locked."""
    return digest_of(plan)


def check_plan(
    plan: TrialPlan, *, file: str = "", most_units: int | None = None
) -> tuple[Defect, ...]:
    """Find every goal and harm of the plan that cannot be judged as written.

    Args:
        plan: The plan before it is locked.
        file: Name of the application, for the places of the defects.
        most_units: The most units the trial can see, by its caps and length, if known.

    Returns:
        All defects; none when the plan can be locked.
    """
    defects: list[Defect] = []
    for index, goal in enumerate(plan.goals):
        defects.extend(_goal_defects(goal, f"plan.goals.{index}", file, most_units))
    for index, harm in enumerate(plan.harms):
        defects.extend(_harm_defects(harm, f"plan.harms.{index}", file, most_units))
    return tuple(defects)


def _goal_defects(
    goal: Hypothesis, field: str, file: str, most_units: int | None
) -> Iterator[Defect]:
    if any(check_design(goal, field)):
        # Said by the procedure; there is no design to ask what it can show.
        return
    try:
        found = feasibility(goal)
    except JudgementError as error:
        yield Defect(
            code="plan/no-such-design",
            what=f"the goal {goal.goal} cannot be judged as written:"
            f" {error.diagnosis.removesuffix('.')}",
            remedy="Change what the design asks for, or choose another",
            file=file,
            field=f"{field}.design",
        )
        return
    yield from _too_few(goal, found, most_units, (field, file))


def _too_few(
    goal: Hypothesis,
    found: Feasibility,
    most_units: int | None,
    at: tuple[str, str],
) -> Iterator[Defect]:
    if found.failures_allowed is None:
        # Of two arms the threshold is always 0.
        is_fixed = found.measure == "difference"
        less = "" if is_fixed else ", or ask for less with the threshold"
        yield _at_minimum(
            "goal-cannot-be-met",
            found.sentence().removesuffix("."),
            f"Set minimum_units to at least {found.units_needed}{less}",
            at,
        )
    if found.units != goal.minimum_units:
        yield _at_minimum(
            "not-the-units-of-its-stages",
            f"the two stages of the goal {goal.goal} have {found.units} units",
            f"Write `minimum_units: {found.units}`",
            at,
        )
    if most_units is not None and most_units < goal.minimum_units:
        yield _at_minimum(
            "too-few-units",
            f"the goal {goal.goal} asks for {goal.minimum_units} units, and the caps"
            f" and length of the trial let it see at most {most_units}",
            "Ask for a longer trial or higher caps, or for fewer units",
            at,
        )


def _at_minimum(check: str, what: str, remedy: str, at: tuple[str, str]) -> Defect:
    field, file = at
    return Defect(
        code=f"plan/{check}",
        what=what,
        remedy=remedy,
        file=file,
        field=f"{field}.minimum_units",
    )


def _harm_defects(
    harm: Harm, field: str, file: str, most_units: int | None
) -> Iterator[Defect]:
    if any(check_signal(harm, field)):
        # Said by the procedure; there is no limit to ask when it signals.
        return
    limit = guardrail_of(harm).harm
    group, whole = group_of(limit), horizon_units(limit)
    if group > max(whole, 1):
        yield Defect(
            code="plan/group-never-full",
            what=f"the harm {harm.harm} is looked at after each {group} units, and its"
            f" horizon ends after {whole}",
            remedy="Write fewer units for `looks_every`, or lengthen the horizon",
            file=file,
            field=f"{field}.signal.looks_every",
        )
        return
    why = _why_silent(limit, whole)
    if why:
        yield Defect(
            code="plan/harm-cannot-signal",
            what=f"the harm {harm.harm} cannot be watched as written: {why}",
            remedy="Change min_events, horizon or alpha so that a signal can come",
            file=file,
            field=f"{field}.signal",
        )
    elif most_units is not None and not _can_signal(limit, most_units):
        yield Defect(
            code="plan/harm-too-few-units",
            what=f"the harm {harm.harm} would give no signal even if every one of the"
            f" {most_units} units that the trial can see were harmful",
            remedy="Ask for a longer trial or higher caps, or for a signal on less",
            file=file,
            field=f"{field}.signal",
        )


def _why_silent(limit: HarmLimit, whole: int) -> str:
    """Return why a guardrail is silent within its horizon, whatever happens, if so."""
    try:
        if _can_signal(limit, whole):
            return ""
    except JudgementError as error:
        return error.diagnosis.removesuffix(".")
    return f"its horizon ends after {whole} units, which are too few for any signal"


def _can_signal(limit: HarmLimit, units: int) -> bool:
    """Return whether there is a signal if every unit is harmful."""
    return signal_chance(limit, rate=1.0, units=units) > 0
