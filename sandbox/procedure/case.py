"""The case as a state machine: which act is lawful in which state, and by whom.

Rules of this module:

* Pure: a case and an act give the next case and the transition to be recorded.
* `closed` is reached only through `closing`, in which evidence is sealed and the
  environment is torn down; `failed` only from states whose environment is removed.
* Final states stay final. The version grows by one with every transition.
* The platform operator can take no act of a case; a machine can never decide.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, get_args

from sandbox.errors import ProcedureError
from sandbox.model.party import Actor, Role
from sandbox.model.record import Instant, Record, TrialId
from sandbox.model.trial import CaseState, Transition

Act = Literal[
    "submit",
    "return",
    "admit",
    "approve",
    "refuse",
    "provision",
    "start",
    "pause",
    "resume",
    "stop",
    "expire",
    "fail",
    "close",
]
"""What can be done to a case; each word is the verb of one transition."""

FINAL_STATES: frozenset[CaseState] = frozenset({"refused", "closed", "failed"})

_NEXT: dict[CaseState, dict[Act, CaseState]] = {
    "submitted": {
        "submit": "submitted",
        "return": "returned",
        "admit": "under_review",
    },
    "returned": {"submit": "submitted", "stop": "closing", "expire": "closing"},
    "under_review": {
        "return": "returned",
        "approve": "approved",
        "refuse": "refused",
    },
    "approved": {"provision": "provisioning", "stop": "closing", "expire": "closing"},
    "provisioning": {
        "start": "running",
        "fail": "failed",
        "stop": "closing",
        "expire": "closing",
    },
    "running": {"pause": "paused", "stop": "closing", "expire": "closing"},
    "paused": {
        "resume": "running",
        "stop": "closing",
        "expire": "closing",
        "fail": "failed",
    },
    "closing": {"close": "closed"},
    "closed": {},
    "refused": {},
    "failed": {},
}

_OFFICIALS: frozenset[Role] = frozenset({"case-officer", "authority", "approver"})
_BY: dict[Act, frozenset[Role]] = {
    "submit": frozenset({"applicant"}),
    "return": _OFFICIALS | {"assessor", "machine"},
    "admit": frozenset({"case-officer", "machine"}),
    "approve": frozenset({"approver"}),
    "refuse": frozenset({"approver"}),
    "provision": frozenset({"applicant", "machine"}),
    "start": frozenset({"machine"}),
    "pause": _OFFICIALS | {"applicant", "machine"},
    "resume": frozenset({"approver"}),
    "stop": _OFFICIALS | {"applicant", "machine"},
    "expire": frozenset({"machine"}),
    "fail": frozenset({"machine"}),
    "close": frozenset({"case-officer", "machine"}),
}


class Case(Record):
    """Where a case stands, and since when."""

    kind: Literal["case"] = "case"
    trial_id: TrialId
    state: CaseState
    version: int = 0
    """Number of transitions so far."""
    changed_at: Instant | None = None
    """Instant of the last transition; None before the first."""
    ended_at: Instant | None = None
    """When the trial ended: on entering `closing` or a final state."""

    @property
    def is_final(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.state in FINAL_STATES


def open_case(trial_id: str) -> Case:
    """Return the case of an application that has just been filed."""
    return Case(trial_id=trial_id, state="submitted")


def lawful_acts(state: CaseState) -> frozenset[Act]:
    """Return the acts that are lawful in a state."""
    return frozenset(_NEXT[state])


def roles_for(act: Act) -> frozenset[Role]:
    """Return the roles that may take an act."""
    return _BY[act]


def advance(
    case: Case, act: Act, *, by: Actor, reason: str, at: datetime
) -> tuple[Case, Transition]:
    """Return the case after an act, and the transition to record.

    Args:
        case: Where the case stands.
        act: What is done.
        by: Who does it.
        reason: Why, in words; never empty.
        at: When; not before the transition before it.

    Raises:
        ProcedureError: The act is not lawful in this state, by this person, without a
            reason, or at this time.
    """
    _check_act(case, act)
    _check_actor(act, by)
    _check_form(case, reason, at)
    after = _NEXT[case.state][act]
    moved = Case(
        trial_id=case.trial_id,
        state=after,
        version=case.version + 1,
        changed_at=at,
        ended_at=case.ended_at or (at if _is_end(after) else None),
    )
    transition = Transition(
        trial_id=case.trial_id,
        version=moved.version,
        act=act,
        before=case.state,
        after=after,
        by=by.name,
        reason=reason,
        at=at,
    )
    return moved, transition


def _is_end(state: CaseState) -> bool:
    return state == "closing" or state in FINAL_STATES


def _check_act(case: Case, act: Act) -> None:
    if act not in get_args(Act):
        raise ProcedureError(
            f"`{act}` is not an act of a case; acts are {', '.join(get_args(Act))}"
        )
    lawful = lawful_acts(case.state)
    if act not in lawful:
        instead = f"lawful now: {', '.join(sorted(lawful))}" if lawful else "it is over"
        raise ProcedureError(
            f"`{act}` is not lawful while the case {case.trial_id} is {case.state}; "
            f"{instead}"
        )


def _check_actor(act: Act, by: Actor) -> None:
    if by.role not in _BY[act]:
        allowed = ", ".join(sorted(_BY[act]))
        raise ProcedureError(
            f"{by.name} acts as {by.role} and may not `{act}`; that is for: {allowed}"
        )


def _check_form(case: Case, reason: str, at: datetime) -> None:
    if not reason.strip():
        raise ProcedureError("an act without a reason has no effect; say why")
    if at.tzinfo is None:
        raise ProcedureError(f"{at.isoformat()} has no time zone; give an instant")
    if case.changed_at is not None and at < case.changed_at:
        raise ProcedureError(
            f"{at.isoformat()} lies before the last transition of {case.trial_id} "
            f"({case.changed_at.isoformat()}); an act cannot be dated back"
        )
