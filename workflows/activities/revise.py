"""Activities of a revision: draft from findings, adopt, publish, bundle again.

Rules of this module:

* A proposal is drafted from what is in the record: findings as they were written, spans
  as they were recorded.
* A version is published and recorded before anyone is told of it.
"""

from __future__ import annotations

from temporalio import activity

from sandbox.model.finding import Finding
from sandbox.model.proposal import Consultation, Retention, RevisionProposal
from sandbox.model.rule import RulebookRef
from sandbox.recorder import spans_in
from sandbox.revision import (
    Enactment,
    TrialGrounds,
    adopt,
    open_consultation,
    propose,
    retain,
)
from workflows.activities.boundary import activity_method
from workflows.activities.keeping import Bundles, Ledger, publish_rulebook
from workflows.messages import (
    AdoptionResult,
    DraftProposal,
    EndRevision,
    KeepConsultation,
    OpenConsultation,
    ProposalSummary,
    RevisionInput,
)

_RUNNING = ("provisioning", "running", "paused")


class ReviseActivities:
    """Carries findings into the next version of a rulebook."""

    def __init__(self, ledger: Ledger, bundles: Bundles) -> None:
        self._ledger = ledger
        self._bundles = bundles

    @activity_method
    def draft_proposal(self, draft: DraftProposal) -> ProposalSummary:
        """Draft amendments from the findings of trials."""
        revision, ledger = draft.revision, self._ledger
        rulebook = ledger.records.rulebook(revision.rulebook)
        proposal = propose(
            rulebook,
            [self._grounds(trial_id) for trial_id in revision.trials],
            proposal=f"P-{revision.number}",
            in_force_from=draft.at.date(),
            at=draft.at,
        )
        owner = _owner(revision)
        entry_id = f"{owner}/proposal/{revision.number}"
        ledger.write("proposal", entry_id, owner, proposal)
        digest = ledger.records.put_document(owner, "proposal", proposal)
        return ProposalSummary(
            proposal=proposal.proposal,
            version=proposal.amends.version,
            digest=digest,
            amendments=len(proposal.amendments),
        )

    @activity_method
    def open_consultation(self, opening: OpenConsultation) -> Consultation:
        """Open the drafted proposal for comment, for the time the regime asks for."""
        revision = opening.revision
        return open_consultation(
            self._proposal(revision),
            regime=revision.regime,
            at=opening.at,
        )

    @activity_method
    def keep_consultation(self, keep: KeepConsultation) -> None:
        """Keep the comments and dispositions so far."""
        consultation = Consultation.model_validate(keep.consultation)
        owner = f"rulebook/{keep.rulebook}"
        self._ledger.records.put_document(owner, "consultation", consultation)

    @activity_method
    def adopt_proposal(self, task: EndRevision) -> AdoptionResult:
        """Publish the next version of the rulebook."""
        revision, ledger = task.revision, self._ledger
        owner = _owner(revision)
        version, adoption = adopt(
            self._proposal(revision),
            rulebook=ledger.records.rulebook(revision.rulebook, task.version),
            consultation=task.consultation,
            enactment=Enactment(by=task.by, at=task.at, reason=task.reason),
        )
        ledger.write("adoption", f"{owner}/adoption/{revision.number}", owner, adoption)
        publish_rulebook(ledger, version)
        ledger.records.put_document(owner, "adoption", adoption)
        return AdoptionResult(
            before=adoption.before,
            after=adoption.after,
            running=self._running_under(adoption.before),
        )

    @activity_method
    def retain_rulebook(self, task: EndRevision) -> Retention:
        """Record that the rulebook stays as it is, and why."""
        revision, ledger = task.revision, self._ledger
        owner = _owner(revision)
        retention = retain(
            self._proposal(revision),
            rulebook=ledger.records.rulebook(revision.rulebook, task.version),
            consultation=task.consultation,
            enactment=Enactment(by=task.by, at=task.at, reason=task.reason),
        )
        entry_id = f"{owner}/retention/{revision.number}"
        ledger.write("retention", entry_id, owner, retention)
        return retention

    @activity_method
    def write_bundles(self, revision: RevisionInput) -> list[str]:
        """Write the bundles of the trials anew, with what became of their findings."""
        written = []
        for trial_id in revision.trials:
            activity.heartbeat(trial_id)
            written.append(self._bundles.write(self._ledger, trial_id))
        return written

    def _proposal(self, revision: RevisionInput) -> RevisionProposal:
        found = self._ledger.records.get_document(_owner(revision), "proposal")
        return RevisionProposal.model_validate(found)

    def _grounds(self, trial_id: str) -> TrialGrounds:
        ledger = self._ledger
        spans = [
            span
            for _, frames in ledger.frames(trial_id)
            for frame in frames
            if frame.signal == "traces"
            for span in spans_in(frame)
        ]
        findings = ledger.records.find_documents(trial_id, "finding/")
        return TrialGrounds(
            temporary_rule=ledger.temporary_rule(trial_id),
            findings=tuple(
                Finding.model_validate(findings[name]) for name in sorted(findings)
            ),
            observations=tuple(ledger.observations(trial_id, tell=activity.heartbeat)),
            spans=tuple(spans),
        )

    def _running_under(self, ref: RulebookRef) -> tuple[str, ...]:
        running = [
            case["trial_id"]
            for case in self._ledger.records.cases()
            if case["state"] in _RUNNING
        ]
        return tuple(
            trial_id
            for trial_id in running
            if self._ledger.temporary_rule(trial_id).of.rulebook == ref.rulebook
        )


def _owner(revision: RevisionInput) -> str:
    return f"rulebook/{revision.rulebook}"
