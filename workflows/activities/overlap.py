"""Do the exceptions of a trial conflict with those of trials under way?

Rules of this module:

* Compared are the temporary rules of trials that have begun and are not over; a trial
  that is only approved is compared when it begins.
* Nothing is put in force and nothing is recorded here.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sandbox.model.application import Application, Defect
from sandbox.model.record import Interval
from sandbox.model.regime import Regime
from sandbox.model.rule import Rulebook, TemporaryRule
from sandbox.procedure import FINAL_STATES, add_period
from sandbox.rules import Conflict, find_conflicts, foresee
from workflows.activities.keeping import Ledger


def conflicts_if_admitted(
    ledger: Ledger, application: Application, *, rulebook: Rulebook, regime: Regime
) -> tuple[Conflict, ...]:
    """Return the conflicts a trial may come into, whenever it begins in time."""
    now, period, zone = ledger.clock.now(), application.period, regime.time_zone
    latest = add_period(now, period.must_start_within, time_zone=zone)
    until = add_period(latest, period.length, time_zone=zone)
    in_force = Interval(start=now, end=until)
    asked = foresee(application, rulebook=rulebook, in_force=in_force)
    return find_conflicts(asked, _under_way(ledger))


def conflicts_if_begun(
    ledger: Ledger, trial_id: str, *, regime: Regime, at: datetime
) -> tuple[Conflict, ...]:
    """Return the conflicts a trial comes into if it begins at an instant."""
    application = ledger.application(trial_id)
    rulebook = ledger.in_force(application.rulebook, at=at)
    until = add_period(at, application.period.length, time_zone=regime.time_zone)
    in_force = Interval(start=at, end=until)
    asked = foresee(application, rulebook=rulebook, in_force=in_force)
    return find_conflicts(asked, _under_way(ledger))


def as_defect(conflict: Conflict, application: Application) -> Defect:
    """Return a certain conflict as what is wrong with the application."""
    asked = [item.rule for item in application.collides_with]
    return Defect(
        code="application/conflict",
        what=conflict.sentence(),
        remedy=f"Wait until {conflict.other_trial_id} is over, ask for the same, or "
        "keep the two apart with `under`",
        field=f"collides_with.{asked.index(conflict.rule)}",
    )


def _under_way(ledger: Ledger) -> Iterator[TemporaryRule]:
    for case in ledger.records.cases():
        if case["state"] in (*FINAL_STATES, "closing"):
            continue
        documents = ledger.records.find_documents(case["trial_id"], "temporary-rule")
        if "temporary-rule" in documents:
            yield TemporaryRule.model_validate(documents["temporary-rule"])
