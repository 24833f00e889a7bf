"""`sandbox trial feasibility`: what a plan can show, before it is filed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from sandbox.errors import InputError
from sandbox.findings import (
    HarmOutlook,
    Outlook,
    check_plan,
    feasibility,
    harm_outlook,
    outlook,
)
from sandbox.findings.arms_outlook import CONTROL_RATE
from sandbox.findings.chances import Chances
from sandbox.findings.feasibility import value_range
from sandbox.model.application import (
    Application,
    Defect,
    Hypothesis,
    Participants,
    TrialPeriod,
    TrialPlan,
)
from sandbox.model.document import examine, placed
from sandbox.procedure import add_period
from sandbox.procedure.designs import check_designs
from sandbox.report.prospects import outlook_svg
from workflows.cli.output import Format, Output, emit, print_table, say
from workflows.cli.setup import read_text

_HOPELESS = ("plan/no-such-design", "plan/group-never-full", "plan/harm-cannot-signal")
"""Defects with which there is nothing to compute."""
_BAR = 24
_POINTS, _ARM_POINTS = 41, 21
"""True values in a picture; trials of two arms have to be drawn for each."""
_TOO_LONG = (
    "So long a trial of two arms is not drawn, and its chances are not known exactly;"
    " ask with fewer --units."
)
_NOW = datetime(2026, 1, 1, tzinfo=UTC)
"""Any instant: a trial is as long whenever it begins, but for days of 23 hours."""


def show_feasibility(  # noqa: PLR0913 - one parameter per option of the command
    file: Annotated[Path, typer.Argument(help="An application as YAML.")],
    units: Annotated[
        int, typer.Option(min=0, help="The most units the trial can see.")
    ] = 0,
    per_minute: Annotated[
        float,
        typer.Option(min=0.0, help="Or: units per minute, over the trial's length."),
    ] = 0.0,
    control_rate: Annotated[
        float | None,
        typer.Option(
            help="Of two arms: chance that a unit of the control arm is satisfied.",
            show_default=f"{CONTROL_RATE:g}",
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Also draw it, into this SVG file.")
    ] = None,
    output: Output = Format.table,
) -> None:
    """Say what each goal of a plan can show and how soon each harm is signalled.

    Without --units or --per-minute, one unit for each participant is taken.
    """
    rate = _control_rate(control_rate)
    asked = _readable(file)
    most, words = _most_units(asked, units, per_minute)
    defects = check_plan(asked.plan, file=str(file), most_units=most)
    hopeless = [item for item in defects if item.code in _HOPELESS]
    if hopeless:
        raise InputError(hopeless)
    if output is Format.table:
        say(f"{file}: the trial sees at most {most} units ({words})")
    if control_rate is not None and all(goal.arms is None for goal in asked.plan.goals):
        say("no goal compares two arms, so --control-rate is not read")
    _show(asked.plan, most, rate, output)
    if plot is not None:
        _draw(asked.plan.goals, most, rate, plot)
    for defect in defects:
        say(defect.sentence())
    if defects:
        raise typer.Exit(1)


def _control_rate(asked: float | None) -> float:
    if asked is None or 0 < asked < 1:
        return CONTROL_RATE if asked is None else asked
    defect = Defect(
        code="feasibility/control-rate",
        what=f"is {asked:g}, which cannot be the chance that a unit is satisfied in an"
        " arm that may do better or worse",
        remedy="Write a number between 0 and 1, for example 0.7",
        field="--control-rate",
    )
    raise InputError([defect])


class _Asked(NamedTuple):
    """The parts of an application that its feasibility rests on."""

    plan: TrialPlan
    participants: Participants
    period: TrialPeriod


def _readable(file: Path) -> _Asked:
    """Return what can be asked of an application; the rest may be unfinished.

    Raises:
        InputError: These parts have defects; carries every one with its line.
    """
    text = read_text(file)
    reading = examine(text, Application, file=str(file), prefix="application")
    needed = ("", *_Asked._fields)
    found = [item for item in reading.defects if item.field.split(".")[0] in needed]
    if found:
        raise InputError(found)
    asked = _Asked(
        TrialPlan.model_validate(reading.data["plan"]),
        Participants.model_validate(reading.data["participants"]),
        TrialPeriod.model_validate(reading.data["period"]),
    )
    defects = list(check_designs(asked.plan))
    if defects:
        raise InputError(placed(defects, reading.places, file=str(file)))
    return asked


def _show(plan: TrialPlan, most: int, control_rate: float, output: Format) -> None:
    goals = [
        (goal, outlook(goal, units=most, control_rate=control_rate))
        for goal in plan.goals
    ]
    harms = [harm_outlook(harm, units=most) for harm in plan.harms]
    if output is not Format.table:
        rows = [_row(goal, item) for goal, item in goals]
        rows += [_harm_row(item) for item in harms]
        emit(rows, output, name="subject")
        return
    for goal, item in goals:
        _print(goal, item)
    for harm in harms:
        _print_harm(harm)


def _most_units(application: _Asked, units: int, per_minute: float) -> tuple[int, str]:
    if units:
        return units, "as asked"
    if per_minute:
        length = application.period.length
        lasts = add_period(_NOW, length, time_zone="UTC") - _NOW
        most = math.floor(per_minute * lasts.total_seconds() / 60)
        return most, f"{per_minute:g} per minute over {length}"
    return application.participants.max, "one for each participant"


def _print(goal: Hypothesis, item: Outlook) -> None:
    say(f"\n{item.goal}: {goal.claim.strip()}")
    say(feasibility(goal).sentence())
    if item.control_rate is not None:
        say(
            f"Taken as given: of the control arm {item.control_rate * 100:.4g} % are"
            " satisfied (--control-rate), and no unit is left out of the blocks."
        )
    if not item.chances:
        say(_TOO_LONG)
        return
    true = "true" if item.drawn is None else "true (drawn)"
    columns = (true, "met", "not met", "inconcl.", "units", "9 of 10", "█ met ░ not")
    print_table(columns, [_cells(item, chance) for chance in item.chances])
    if item.drawn is not None:
        say(f"≈ {item.drawn.words()}; the same figures at each run.")
    star = "the threshold" if item.control_rate is None else "no difference"
    say(
        f"* is {star}. Chances at the end of the trial; units until a verdict is"
        " first possible, on average and in 9 of 10 trials."
    )


def _cells(item: Outlook, chance: Chances) -> tuple[str, ...]:
    about = "" if item.drawn is None else "≈"
    shares = (chance.met, chance.not_met, chance.inconclusive)
    return (
        _true(item, chance.value),
        *(f"{about}{share:.1%}" for share in shares),
        f"{about}{chance.mean_units:.0f}",
        "–" if chance.most_units is None else f"{about}{chance.most_units}",
        _bar(chance),
    )


def _true(item: Outlook, value: float) -> str:
    written = f"{value:.4g}"
    if item.control_rate is not None:
        treated = (item.control_rate + value) * 100
        written = f"{treated:.4g} % ({value * 100:+.4g})"
    elif item.measure == "proportion":
        written = f"{value * 100:.4g} %"
    return written + " *" if value == item.threshold else written


def _print_harm(item: HarmOutlook) -> None:
    say(f"\n{item.sentence()}")
    rows = [
        (
            f"{chance.rate * 100:.4g} %" + (" *" if number == 0 else ""),
            f"{chance.signal:.1%}",
            "–" if chance.median_units is None else str(chance.median_units),
        )
        for number, chance in enumerate(item.chances)
    ]
    print_table(("true", "signal", "half by unit"), rows)
    say(
        "* is the baseline. Chances of a signal while the trial runs, and the unit by"
        " which half of all trials have one."
    )
    if item.units > item.horizon_units:
        say(
            f"Past unit {item.horizon_units}, where the horizon ends, a false signal"
            " may come more often than alpha."
        )


def _bar(chance: Chances) -> str:
    met = round(chance.met * _BAR)
    not_met = min(_BAR - met, round(chance.not_met * _BAR))
    return "█" * met + "·" * (_BAR - met - not_met) + "░" * not_met


def _row(goal: Hypothesis, item: Outlook) -> dict[str, Any]:
    return {
        "subject": item.goal,
        "goal": item.goal,
        "design": goal.design,
        "threshold": item.threshold,
        "measure": item.measure,
        "units": item.units,
        "control_rate": item.control_rate,
        "drawn": None if item.drawn is None else item.drawn._asdict(),
        "best": feasibility(goal)._asdict(),
        "chances": [chance._asdict() for chance in item.chances],
    }


def _harm_row(item: HarmOutlook) -> dict[str, Any]:
    chances = [chance._asdict() for chance in item.chances]
    return {"subject": item.harm} | item._asdict() | {"chances": chances}


def _draw(goals: Sequence[Hypothesis], most: int, rate: float, file: Path) -> None:
    found = [
        outlook(goal, units=most, values=_grid(goal, rate), control_rate=rate)
        for goal in goals
    ]
    shown = [item for item in found if item.chances]
    if not shown:
        say("nothing to draw: a trial of two arms that is so long is not drawn")
        return
    try:
        file.write_text(outlook_svg(shown), encoding="utf-8")
    except OSError as error:
        defect = Defect(
            code="plot/unwritable",
            what=f"cannot be written: {error.strerror}",
            remedy="Name a file in a folder that exists",
            file=str(file),
        )
        raise InputError([defect]) from error
    say(f"wrote {file}")


def _grid(goal: Hypothesis, control_rate: float) -> tuple[float, ...]:
    low, high = value_range(goal, control_rate=control_rate)
    steps = (_POINTS if goal.arms is None else _ARM_POINTS) - 1
    return tuple(low + (high - low) * step / steps for step in range(steps + 1))
