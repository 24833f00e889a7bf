"""`sandbox evidence retention`, `expire`, `hold` and `release`.

Rules of this module:

* Who acts is named on the command line and stands in the log; whoever may run this
  command has the operator's rights on this machine, so the name is not proven.
* After an erasure the trial's bundle is written anew, so that no copy of the bytes is
  left where this installation keeps them.
"""

from __future__ import annotations

from typing import Annotated

import typer

from sandbox.errors import EvidenceError, SandboxError
from sandbox.evidence.expire import Custody, expire, show_keeping, unfinished
from sandbox.evidence.hold import Order, place_hold, release_hold
from sandbox.model.erasure import Keeping
from sandbox.model.party import Actor
from sandbox.settings import Settings
from workflows.activities.keeping import Bundles, Ledger
from workflows.cli.output import Format, Output, emit, say
from workflows.cli.setup import Home, read_settings
from workflows.worker import open_ledger

Trial = Annotated[str, typer.Argument(help="Name of the trial.")]
AnyTrial = Annotated[str, typer.Argument(help="Name of a trial; else all of them.")]
By = Annotated[str, typer.Option("--by", help="Who does this: a person's name.")]
For = Annotated[str, typer.Option("--for", help="Authority or applicant acted for.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; stands in the log.")]


def retention(
    trial: AnyTrial = "", home: Home = None, output: Output = Format.table
) -> None:
    """Show which recorded segments are kept, until when, and why."""
    ledger, _ = open_ledger(read_settings(home))
    custody = custody_of(ledger)
    rows = [
        _row(item)
        for name in _trials(ledger, trial)
        for item in show_keeping(custody, name)
    ]
    emit(rows, output, name="segment")


def expire_segments(
    trial: AnyTrial = "",
    by: By = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be erased; erase nothing.")
    ] = False,
    home: Home = None,
) -> None:
    """Erase the bytes of segments whose period is over; statements and log stay."""
    settings = read_settings(home)
    ledger, _ = open_ledger(settings)
    custody = custody_of(ledger)
    if not dry_run and not by.strip():
        raise typer.BadParameter("name who erases", param_hint="--by")
    actor = Actor(name=by.strip(), role="platform-operator")
    failed = False
    for name in _trials(ledger, trial):
        try:
            _tell_held(custody, name)
            if dry_run:
                _foretell(custody, name)
            else:
                _expire(settings, ledger, name, by=actor)
        except SandboxError as error:
            # One trial's trouble must not keep the data of another too long.
            say(f"{name}: {error.diagnosis}")
            failed = True
    raise typer.Exit(1 if failed else 0)


def hold(
    trial: Trial, reason: Reason, by: By, represents: For = "", home: Home = None
) -> None:
    """Forbid erasing evidence of a trial, until the hold is released."""
    ledger, _ = open_ledger(read_settings(home))
    actor = Actor(name=by, role="platform-operator", represents=represents)
    entry = place_hold(ledger.log, trial, Order(actor, reason, ledger.clock.now()))
    say(f"hold {entry.entry.body['number']} on {trial} is log entry {entry.index}")
    for item in show_keeping(custody_of(ledger), trial):
        if item.state == "erased":
            say(f"segment {item.number} had been erased before: {item.why}")


def release(  # noqa: PLR0913 - one parameter per option of the command
    trial: Trial,
    reason: Reason,
    by: By,
    number: Annotated[
        int, typer.Option("--hold", help="Number of the hold, where several are.")
    ] = 0,
    represents: For = "",
    home: Home = None,
) -> None:
    """Release a hold; what the law no longer keeps may then be erased."""
    ledger, _ = open_ledger(read_settings(home))
    actor = Actor(name=by, role="platform-operator", represents=represents)
    order = Order(actor, reason, ledger.clock.now())
    entry = release_hold(ledger.log, trial, order, number=number)
    say(f"hold {entry.entry.body['number']} on {trial} is released: {entry.index}")


def custody_of(ledger: Ledger) -> Custody:
    """Return the ports through which evidence is kept and erased."""
    return Custody(ledger.log, ledger.records, ledger.segments, ledger.clock)


def _trials(ledger: Ledger, trial: str) -> list[str]:
    if not trial:
        cases = {str(case["trial_id"]) for case in ledger.records.cases()}
        logged = (item.entry for item in ledger.log.entries())
        return sorted(cases | {i.trial_id for i in logged if i.kind == "segment"})
    if not ledger.log.entries(trial):
        raise EvidenceError(
            f"the log has no entry of trial {trial!r}; `sandbox trial list` shows the "
            "trials there are"
        )
    return [trial]


def _row(item: Keeping) -> dict[str, object]:
    return {
        "segment": f"{item.trial_id}/{item.number}",
        "state": item.state,
        "until": None if item.until is None else item.until.isoformat(),
        "why": item.why,
    }


def _tell_held(custody: Custody, trial: str) -> None:
    held = [item for item in show_keeping(custody, trial) if item.state == "held"]
    if held:
        say(f"keeping {len(held)} segments of {trial}: {held[0].why}")


def _foretell(custody: Custody, trial: str) -> None:
    for item in unfinished(custody, trial):
        say(f"would erase segment {item.number} of {trial}: {item.why}")


def _expire(settings: Settings, ledger: Ledger, trial: str, *, by: Actor) -> None:
    for number in expire(custody_of(ledger), trial, by=by):
        say(f"erased segment {number} of {trial}")
    erased = [
        item.number
        for item in show_keeping(custody_of(ledger), trial)
        if item.state == "erased"
    ]
    bundles = Bundles(settings.home / "bundles")
    if bundles.must_be_renewed(trial, erased=erased):
        say(f"wrote {bundles.write(ledger, trial)} anew")
