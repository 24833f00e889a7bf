"""The consultation: open between two instants, every comment answered with a reason.

Rules of this module:

* A proposal is open at least as long as the regime's minimum (in Japan thirty days,
  Administrative Procedure Act, Art. 39(3)), reckoned in the regime's civil time.
* Comments count only while it is open; each gets exactly one disposition with a reason
  before anything is adopted (Art. 43(1)).
* The same comment or disposition again changes nothing, so a repeated message is safe.
"""

from __future__ import annotations

from datetime import datetime

from sandbox.errors import ProcedureError
from sandbox.model.proposal import (
    Comment,
    Consultation,
    Disposition,
    RevisionProposal,
)
from sandbox.model.record import Interval
from sandbox.model.regime import Regime
from sandbox.procedure import add_period

_MAY_DISPOSE = frozenset({"rule-owner", "case-officer"})


def open_consultation(
    proposal: RevisionProposal,
    *,
    regime: Regime,
    at: datetime,
    until: datetime | None = None,
) -> Consultation:
    """Open a proposal for comment.

    Args:
        proposal: What is proposed.
        regime: Says how long it must be open at least.
        at: When it opens.
        until: When it closes; the earliest lawful instant when not given.

    Raises:
        ProcedureError: It would close before the regime's minimum is over.
    """
    earliest = add_period(at, regime.minimum_consultation, time_zone=regime.time_zone)
    closes = until or earliest
    if closes < earliest:
        raise ProcedureError(
            f"The consultation on {proposal.proposal} would close at"
            f" {closes:%Y-%m-%d %H:%M:%S %Z}; {regime.name} asks for at least"
            f" {regime.minimum_consultation}. Close it no earlier than"
            f" {earliest:%Y-%m-%d %H:%M:%S %Z}."
        )
    return Consultation(proposal=proposal.proposal, open=Interval(start=at, end=closes))


def add_comment(consultation: Consultation, comment: Comment) -> Consultation:
    """Return the consultation with one more comment.

    Raises:
        ProcedureError: It is not open at the comment's time, the comment is empty, or
            its id is that of another comment.
    """
    known = {item.comment_id: item for item in consultation.comments}
    if known.get(comment.comment_id) == comment:
        return consultation
    problem = ""
    if comment.comment_id in known:
        problem = f"there is already another comment {comment.comment_id}; use a new id"
    elif not comment.text.strip():
        problem = "it is empty; write what you think of the proposal"
    elif not consultation.open.holds(comment.at):
        problem = (
            f"the consultation is open from {consultation.open.start:%Y-%m-%d %H:%M:%S}"
            f" to {consultation.open.end:%Y-%m-%d %H:%M:%S} UTC, and it came at"
            f" {comment.at:%Y-%m-%d %H:%M:%S}"
        )
    if problem:
        raise ProcedureError(
            f"The comment on {consultation.proposal} is not accepted: {problem}."
        )
    return consultation.model_copy(
        update={"comments": (*consultation.comments, comment)}
    )


def dispose(consultation: Consultation, disposition: Disposition) -> Consultation:
    """Return the consultation with one comment answered.

    Raises:
        ProcedureError: There is no such comment, it is answered already otherwise, no
            reason is given, or the actor may not answer.
    """
    answered = {item.comment_id: item for item in consultation.dispositions}
    if answered.get(disposition.comment_id) == disposition:
        return consultation
    problem = _objection(consultation, disposition, set(answered))
    if problem:
        raise ProcedureError(
            f"Comment {disposition.comment_id} on {consultation.proposal} is not"
            f" answered: {problem}."
        )
    return consultation.model_copy(
        update={"dispositions": (*consultation.dispositions, disposition)}
    )


def undisposed(consultation: Consultation) -> tuple[str, ...]:
    """Return the ids of comments that have no disposition yet, in order."""
    answered = {item.comment_id for item in consultation.dispositions}
    return tuple(
        item.comment_id
        for item in consultation.comments
        if item.comment_id not in answered
    )


def _objection(
    consultation: Consultation, disposition: Disposition, answered: set[str]
) -> str:
    known = {item.comment_id for item in consultation.comments}
    if disposition.comment_id not in known:
        return (
            f"there is no such comment; there are {', '.join(sorted(known)) or 'none'}"
        )
    if disposition.comment_id in answered:
        return "it has a disposition already, which stands"
    if not disposition.reason.strip():
        return "a disposition needs a reason; say why"
    if disposition.by.role not in _MAY_DISPOSE:
        return f"{disposition.by.name} is {disposition.by.role}; the rule owner answers"
    return ""
