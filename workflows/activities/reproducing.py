"""A proposal in the log, and its figures computed again from the record.

Rules of this module:

* What is read of a proposal is its entry in the log, as it was written.
* The trials that are asked again are those that were asked then.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

from sandbox.errors import RecordsError
from sandbox.model.impact import ImpactStatement, Reproduction
from sandbox.model.proposal import Adoption, Consultation, Retention, RevisionProposal
from sandbox.model.record import Record
from sandbox.model.rule import Rulebook
from sandbox.revision import (
    compare_impact,
    compare_support,
    impact_of,
    with_support,
)
from sandbox.rules import reference
from workflows.activities.asking import Asking, recorded_trials
from workflows.activities.keeping import Ledger

R = TypeVar("R", bound=Record)


class ProposalRecord(NamedTuple):
    """Everything the log has of one proposal."""

    rulebook: str
    proposal: RevisionProposal
    impact: ImpactStatement | None
    adoption: Adoption | None
    retention: Retention | None

    @property
    def name(self) -> str:
        """Its name on the command line."""
        return f"{self.rulebook}/{self.proposal.proposal}"

    @property
    def state(self) -> str:
        """What became of it."""
        if self.adoption is not None:
            return "adopted"
        return "retained" if self.retention is not None else "open"


def proposals(ledger: Ledger) -> list[ProposalRecord]:
    """Return every proposal of the log, in its order."""
    found = []
    for item in ledger.log.entries():
        if item.entry.kind == "proposal":
            rulebook = item.entry.trial_id.removeprefix("rulebook/")
            number = int(item.entry.entry_id.rpartition("/")[2])
            found.append(_proposal(ledger, rulebook, number))
    return found


def find_proposal(ledger: Ledger, name: str) -> ProposalRecord:
    """Return a proposal by its name, such as `passenger-transport/P-1`.

    Args:
        ledger: The record.
        name: With the rulebook, or without where only one rulebook has it.

    Raises:
        RecordsError: There is none, or several rulebooks have one of that name.
    """
    known = proposals(ledger)
    found = [item for item in known if name in (item.name, item.proposal.proposal)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(item.name for item in (found or known)) or "none"
    what = "is one of several proposals" if found else "is no proposal of the log"
    raise RecordsError(f"{name} {what}; name one of: {names}", retryable=False)


def amended_version(ledger: Ledger, proposal: RevisionProposal) -> Rulebook:
    """Return the version a proposal was written for.

    Raises:
        RecordsError: That version has other content than when it was proposed.
    """
    amends = proposal.amends
    rulebook = ledger.records.rulebook(amends.rulebook, amends.version)
    if reference(rulebook) != amends:
        raise RecordsError(
            f"{amends.rulebook} v{amends.version} has the digest"
            f" {reference(rulebook).digest} in the records, and had {amends.digest}"
            f" when {proposal.proposal} was written",
            retryable=False,
        )
    return rulebook


def reproduce(
    ledger: Ledger, record: ProposalRecord, asking: Asking
) -> tuple[Reproduction, ...]:
    """Compute every figure of a proposal again, and compare.

    Args:
        ledger: The record.
        record: The proposal.
        asking: What asks the evidence.

    Raises:
        RecordsError: It has no impact statement.
        EvidenceError: Evidence cannot be read.
    """
    proposal, impact = record.proposal, record.impact
    if impact is None:
        raise RecordsError(
            f"{record.name} was drafted without an impact statement; there is nothing"
            " to run again",
            retryable=False,
        )
    rulebook = amended_version(ledger, proposal)
    recorded = recorded_trials(ledger, record.rulebook, only=impact.trials)
    supported = with_support(proposal, recorded=recorded, backtests=asking.backtests)
    again = impact_of(
        proposal, rulebook=rulebook, recorded=recorded, comparisons=asking.comparisons
    )
    return (
        *compare_support(proposal, supported),
        *compare_impact(impact, again),
    )


def consultation_of(ledger: Ledger, record: ProposalRecord) -> Consultation | None:
    """Return the consultation on a proposal, as far as it is kept."""
    owner = f"rulebook/{record.rulebook}"
    kept = ledger.records.find_documents(owner, "consultation").values()
    found = [item for item in kept if item["proposal"] == record.proposal.proposal]
    return Consultation.model_validate(found[-1]) if found else None


def _proposal(ledger: Ledger, rulebook: str, number: int) -> ProposalRecord:
    owner = f"rulebook/{rulebook}"

    def body(kind: str, model: type[R]) -> R | None:
        logged = ledger.log.entry(f"{owner}/{kind}/{number}")
        return None if logged is None else model.model_validate(logged.entry.body)

    proposal = body("proposal", RevisionProposal)
    assert proposal is not None
    return ProposalRecord(
        rulebook=rulebook,
        proposal=proposal,
        impact=body("impact", ImpactStatement),
        adoption=body("adoption", Adoption),
        retention=body("retention", Retention),
    )
