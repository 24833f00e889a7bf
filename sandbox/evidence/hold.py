"""Legal hold: evidence of a trial that must not be erased.

Rules of this module:

* A hold is placed and released by a named person with a reason; both are entries.
* Several may be in force; each is released by itself, so that one who no longer needs
  the evidence takes it from nobody else.
* Whether a hold came before an erasure is what the order of the log says: both are
  weighed and appended with nothing coming between (`Log.append_if`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sandbox.errors import ProcedureError
from sandbox.model.erasure import Hold
from sandbox.model.log import LogEntry, LoggedEntry
from sandbox.model.party import Actor
from sandbox.ports import Log


class Order(NamedTuple):
    """Who wants something done, why, and when."""

    by: Actor
    reason: str
    at: datetime


def holds_in_force(entries: Sequence[LoggedEntry]) -> dict[int, Hold]:
    """Return the holds in force after a trial's entries, by their numbers."""
    found: dict[int, Hold] = {}
    for hold in _holds(entries):
        if hold.act == "place":
            found[hold.number] = hold
        else:
            found.pop(hold.number, None)
    return found


def check_not_held(trial_id: str, entries: Sequence[LoggedEntry]) -> None:
    """Check that no hold is in force.

    Raises:
        ProcedureError: One is; names it.
    """
    for number, hold in holds_in_force(entries).items():
        raise ProcedureError(
            f"evidence of trial {trial_id} is under hold {number} by {hold.by.name}: "
            f"{hold.reason}. It can be erased once `sandbox evidence release` has "
            "released it"
        )


def place_hold(log: Log, trial_id: str, order: Order) -> LoggedEntry:
    """Place a hold on the evidence of a trial, and return its entry.

    Raises:
        ProcedureError: The log has nothing of such a trial, or no reason is given.
        RecordsError: The log cannot be written.
    """

    def decide(entries: Sequence[LoggedEntry]) -> list[LogEntry]:
        if not entries:
            raise ProcedureError(
                f"the log has no entry of trial {trial_id!r}; `sandbox trial list` "
                "shows the trials there are"
            )
        placed = sum(hold.act == "place" for hold in _holds(entries))
        return [_entry(trial_id, ("place", placed + 1), order)]

    _check_reason(order)
    return log.append_if(trial_id, decide)[0]


def release_hold(
    log: Log, trial_id: str, order: Order, *, number: int = 0
) -> LoggedEntry:
    """Release a hold, and return the entry that says so.

    Args:
        log: The log.
        trial_id: The trial.
        order: By whom, why and when.
        number: Of the hold; 0 is the only one in force.

    Raises:
        ProcedureError: It is not in force, several are and none is named, or no reason
            is given.
        RecordsError: The log cannot be written.
    """

    def decide(entries: Sequence[LoggedEntry]) -> list[LogEntry]:
        in_force = sorted(holds_in_force(entries))
        wanted = in_force[0] if not number and len(in_force) == 1 else number
        if wanted not in in_force:
            raise ProcedureError(
                f"of trial {trial_id} the holds {in_force} are in force; name one of "
                "them with --hold"
                if in_force
                else f"no hold on evidence of trial {trial_id} is in force"
            )
        return [_entry(trial_id, ("release", wanted), order)]

    _check_reason(order)
    return log.append_if(trial_id, decide)[0]


def _holds(entries: Sequence[LoggedEntry]) -> list[Hold]:
    bodies = [item.entry.body for item in entries if item.entry.kind == "hold"]
    return [Hold.model_validate(body) for body in bodies]


def _check_reason(order: Order) -> None:
    if not order.reason.strip() or not order.by.name.strip():
        raise ProcedureError(
            "a hold is placed and released by a named person with a reason; give both"
        )


def _entry(trial_id: str, act: tuple[str, int], order: Order) -> LogEntry:
    verb, number = act
    hold = Hold.model_validate(
        {"act": verb, "number": number, "reason": order.reason, "by": order.by}
    )
    return LogEntry(
        kind="hold",
        entry_id=f"hold/{trial_id}/{number}/{verb}",
        trial_id=trial_id,
        recorded_at=order.at,
        body=hold.model_dump(mode="json"),
    )
