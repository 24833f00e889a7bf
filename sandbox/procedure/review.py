"""Hearing authorities and taking a decision.

Rules of this module:

* Who decides has not assessed and has not applied (EU AI Act Art. 57; METI: the
  competent ministers hear the committee before they decide).
* Every authority of the regime is heard before a decision. What it says is advice.
* A decision always has reasons; conditions stand in a decision if and only if its
  outcome says so.
* An attempt that is not lawful gives a `Refusal` to be recorded, never an exception.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from pydantic import Field

from sandbox.model.decision import (
    Condition,
    Decision,
    IsolationClass,
    Opinion,
    Outcome,
    Refusal,
)
from sandbox.model.party import Actor, Applicant
from sandbox.model.record import Record
from sandbox.model.regime import Regime


class DecisionRequest(Record):
    """A decision as prepared by an assessor, before someone approves it."""

    decision_id: str
    """Chosen by the door; the same id is the same decision."""
    outcome: Outcome
    reasons: tuple[str, ...] = Field(min_length=1)
    conditions: tuple[Condition, ...] = ()
    isolation_class: IsolationClass = "N1"
    assessor: Actor
    """Who prepared it."""


def consider_opinion(
    opinion: Opinion, *, regime: Regime, applicant: Applicant, at: datetime
) -> Opinion | Refusal:
    """Return the opinion if it may be heard, else why it has no effect.

    Args:
        opinion: What an authority thinks.
        regime: The scheme the case runs under.
        applicant: Who asks; may not speak for an authority.
        at: When it was given.
    """
    problem = _opinion_problem(opinion, regime, applicant)
    if problem is None:
        return opinion
    return Refusal(
        decision_id=opinion.decision_id,
        code=problem[0],
        what=problem[1],
        by=opinion.by,
        act="cast-opinion",
        at=at,
    )


def consider_decision(  # noqa: PLR0913 - one parameter per party to a decision
    request: DecisionRequest,
    *,
    trial_id: str,
    approver: Actor,
    applicant: Applicant,
    regime: Regime,
    opinions: tuple[Opinion, ...],
    at: datetime,
) -> Decision | Refusal:
    """Return the decision if it is lawful, else why the attempt has no effect.

    Args:
        request: What the assessor prepared.
        trial_id: The case.
        approver: Who decides, as signed in.
        applicant: Who asks for the trial.
        regime: The scheme, which names the authorities to be heard.
        opinions: What was heard so far.
        at: When.
    """
    problem = (
        _conflict(approver, request.assessor, applicant)
        or _wrong_roles(approver, request.assessor)
        or _not_heard(regime, opinions)
        or _badly_formed(request)
    )
    if problem is None:
        return _decision(request, trial_id, approver=approver, at=at)
    return Refusal(
        decision_id=request.decision_id,
        code=problem[0],
        what=problem[1],
        by=approver,
        act="decide",
        at=at,
    )


def _decision(
    request: DecisionRequest, trial_id: str, *, approver: Actor, at: datetime
) -> Decision:
    return Decision(
        decision_id=request.decision_id,
        trial_id=trial_id,
        outcome=request.outcome,
        reasons=request.reasons,
        conditions=request.conditions,
        isolation_class=request.isolation_class,
        approver=approver,
        assessor=request.assessor,
        decided_at=at,
    )


_Problem = tuple[str, str] | None


def _opinion_problem(
    opinion: Opinion, regime: Regime, applicant: Applicant
) -> _Problem:
    by, known = opinion.by, [item.authority for item in regime.authorities]
    if _is_applicant(by, applicant):
        return "conflict-of-interest", f"{by.name} is the applicant of this case"
    if opinion.authority not in known:
        heard = ", ".join(known)
        return (
            "unknown-authority",
            f"{opinion.authority} is not heard under {regime.regime}; it hears {heard}",
        )
    if by.role != "authority" or by.represents != opinion.authority:
        whom = by.represents or "nobody"
        return (
            "not-the-authority",
            f"{by.name} acts as {by.role} for {whom} and cannot speak for "
            f"{opinion.authority}",
        )
    if not _said(opinion.reasons):
        return "reasons-missing", "an opinion needs a reason"
    if (opinion.position == "conditions") != bool(opinion.conditions):
        return (
            "conditions-do-not-match",
            f"the position is {opinion.position} with {len(opinion.conditions)} "
            "conditions; give conditions exactly when the position is `conditions`",
        )
    return None


def _conflict(approver: Actor, assessor: Actor, applicant: Applicant) -> _Problem:
    if _is_applicant(approver, applicant):
        what = f"{approver.name} is the applicant and cannot decide on the own case"
    elif _is_applicant(assessor, applicant):
        what = f"{assessor.name} is the applicant and cannot assess the own case"
    elif _same(approver.name, assessor.name):
        what = f"{approver.name} prepared this decision; another person approves it"
    else:
        return None
    return "conflict-of-interest", what


def _wrong_roles(approver: Actor, assessor: Actor) -> _Problem:
    if approver.role != "approver":
        what = f"{approver.name} acts as {approver.role}; only an approver decides"
        return "not-an-approver", what
    if assessor.role not in ("assessor", "case-officer"):
        what = (
            f"{assessor.name} acts as {assessor.role}; an assessor prepares decisions"
        )
        return "not-an-assessor", what
    return None


def _not_heard(regime: Regime, opinions: tuple[Opinion, ...]) -> _Problem:
    heard = {opinion.authority for opinion in opinions}
    missing = [item.name for item in regime.authorities if item.authority not in heard]
    if not missing:
        return None
    return "authority-not-heard", f"not yet heard: {', '.join(missing)}"


def _badly_formed(request: DecisionRequest) -> _Problem:
    if not _said(request.reasons):
        return "reasons-missing", "a decision needs reasons, each in words"
    with_conditions = request.outcome == "approved_with_conditions"
    if with_conditions != bool(request.conditions):
        return (
            "conditions-do-not-match",
            f"the outcome is {request.outcome} with {len(request.conditions)} "
            "conditions; attach conditions exactly to approved_with_conditions",
        )
    names = [item.id for item in request.conditions]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        return "condition-repeated", f"conditions stand twice: {', '.join(twice)}"
    return None


def _said(reasons: Iterable[str]) -> bool:
    words = list(reasons)
    return bool(words) and all(word.strip() for word in words)


def _is_applicant(actor: Actor, applicant: Applicant) -> bool:
    names = (applicant.name, applicant.contact)
    return (
        actor.role == "applicant"
        or any(_same(actor.name, name) for name in names)
        or _same(actor.represents, applicant.name)
    )


def _same(one: str, other: str) -> bool:
    return bool(one.strip()) and one.strip().casefold() == other.strip().casefold()
