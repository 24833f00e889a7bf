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
from sandbox.findings.feasibility import Chances, value_range
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
_DRAWN = 41
_NOW = datetime(2026, 1, 1, tzinfo=UTC)
"""Any instant: a trial is as long whenever it begins, but for days of 23 hours."""


def show_feasibility(
    file: Annotated[Path, typer.Argument(help="An application as YAML.")],
    units: Annotated[
        int, typer.Option(min=0, help="The most units the trial can see.")
    ] = 0,
    per_minute: Annotated[
        float,
        typer.Option(min=0.0, help="Or: units per minute, over the trial's length."),
    ] = 0.0,
    plot: Annotated[
        Path | None, typer.Option(help="Also draw it, into this SVG file.")
    ] = None,
    output: Output = Format.table,
) -> None:
    """Say what each goal of a plan can show and how soon each harm is signalled.

    Without --units or --per-minute, one unit for each participant is taken.
    """
    asked = _readable(file)
    most, words = _most_units(asked, units, per_minute)
    defects = check_plan(asked.plan, file=str(file), most_units=most)
    hopeless = [item for item in defects if item.code in _HOPELESS]
    if hopeless:
        raise InputError(hopeless)
    if output is Format.table:
        say(f"{file}: the trial sees at most {most} units ({words})")
    _show(asked.plan, most, output)
    if plot is not None:
        _draw(asked.plan.goals, most, plot)
    for defect in defects:
        say(defect.sentence())
    if defects:
        raise typer.Exit(1)


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


def _show(plan: TrialPlan, most: int, output: Format) -> None:
    goals = [(goal, outlook(goal, units=most)) for goal in plan.goals]
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
    if not item.chances:
        say("How likely each verdict is, is not known exactly for two arms.")
        return
    columns = ("true", "met", "not met", "inconcl.", "units", "9 of 10", "█ met ░ not")
    print_table(columns, [_cells(item, chance) for chance in item.chances])
    say(
        "* is the threshold. Chances at the end of the trial; units until a verdict is"
        " first possible, on average and in 9 of 10 trials."
    )


def _cells(item: Outlook, chance: Chances) -> tuple[str, ...]:
    written = f"{chance.value:.4g}"
    if item.measure == "proportion":
        written = f"{chance.value * 100:.4g} %"
    if chance.value == item.threshold:
        written += " *"
    return (
        written,
        f"{chance.met:.1%}",
        f"{chance.not_met:.1%}",
        f"{chance.inconclusive:.1%}",
        f"{chance.mean_units:.0f}",
        "–" if chance.most_units is None else str(chance.most_units),
        _bar(chance),
    )


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
        "best": feasibility(goal)._asdict(),
        "chances": [chance._asdict() for chance in item.chances],
    }


def _harm_row(item: HarmOutlook) -> dict[str, Any]:
    chances = [chance._asdict() for chance in item.chances]
    return {"subject": item.harm} | item._asdict() | {"chances": chances}


def _draw(goals: Sequence[Hypothesis], most: int, file: Path) -> None:
    drawn = [
        outlook(goal, units=most, values=_grid(goal))
        for goal in goals
        if goal.design != "two-arm"
    ]
    if not drawn:
        say("nothing to draw: of two arms only the best case is known")
        return
    try:
        file.write_text(outlook_svg(drawn), encoding="utf-8")
    except OSError as error:
        defect = Defect(
            code="plot/unwritable",
            what=f"cannot be written: {error.strerror}",
            remedy="Name a file in a folder that exists",
            file=str(file),
        )
        raise InputError([defect]) from error
    say(f"wrote {file}")


def _grid(goal: Hypothesis) -> tuple[float, ...]:
    low, high = value_range(goal)
    return tuple(low + (high - low) * step / (_DRAWN - 1) for step in range(_DRAWN))
