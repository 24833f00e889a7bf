"""Activities of a revision: draft from findings, adopt, publish, bundle again.

Rules of this module:

* A proposal is drafted from what is in the record: findings as they were written, spans
  as they were recorded.
* A version is published and recorded before anyone is told of it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from temporalio import activity

from sandbox.errors import ProcedureError, RecordsError
from sandbox.model.finding import Finding
from sandbox.model.impact import ImpactStatement, TrialChoice
from sandbox.model.proposal import Adoption, Consultation, Retention, RevisionProposal
from sandbox.model.rule import Rulebook
from sandbox.procedure import add_period
from sandbox.revision import (
    Enactment,
    TrialGrounds,
    adopt,
    apply_amendments,
    impact_of,
    open_consultation,
    preview,
    propose,
    retain,
    with_support,
)
from workflows.activities.asking import Asking, readable_trials, running_trials
from workflows.activities.boundary import activity_method
from workflows.activities.keeping import (
    Bundles,
    Ledger,
    draft_of,
    publish_rulebook,
)
from workflows.messages import (
    AdoptionResult,
    DraftProposal,
    EndRevision,
    KeepConsultation,
    OpenConsultation,
    ProposalSummary,
    RevisionInput,
)


class ReviseActivities:
    """Carries findings into the next version of a rulebook."""

    def __init__(
        self, ledger: Ledger, bundles: Bundles, open_asking: Callable[[], Asking]
    ) -> None:
        self._ledger = ledger
        self._bundles = bundles
        self._open_asking = open_asking

    @activity_method
    def draft_proposal(self, draft: DraftProposal) -> ProposalSummary:
        """Draft amendments from findings, and ask all that was recorded of them.

        Done again, it is the same proposal, whatever was recorded meanwhile.
        """
        revision, ledger = draft.revision, self._ledger
        owner, number = _owner(revision), revision.number
        if ledger.log.entry(f"{owner}/proposal/{number}") is None:
            proposal, impact = self._draft(draft)
            # Both or none: who drafts again may find that more was recorded.
            ledger.append_all(
                [
                    draft_of("proposal", f"{owner}/proposal/{number}", owner, proposal),
                    draft_of("impact", f"{owner}/impact/{number}", owner, impact),
                ]
            )
        proposal = self._proposal(revision)
        return ProposalSummary(
            proposal=proposal.proposal,
            version=proposal.amends.version,
            digest=ledger.records.put_document(owner, f"proposal/{number}", proposal),
            amendments=len(proposal.amendments),
        )

    def _draft(self, draft: DraftProposal) -> tuple[RevisionProposal, ImpactStatement]:
        revision, ledger = draft.revision, self._ledger
        rulebook = ledger.records.rulebook(revision.rulebook)
        asking = self._open_asking().telling(activity.heartbeat)
        recorded, left_out = readable_trials(ledger, revision.rulebook, asking)
        drafted = propose(
            rulebook,
            [self._grounds(trial_id) for trial_id in revision.trials],
            proposal=f"P-{revision.number}",
            in_force_from=_first_day(draft),
            at=draft.at,
        )
        proposal = with_support(drafted, recorded=recorded, backtests=asking.backtests)
        impact = impact_of(
            proposal,
            rulebook=rulebook,
            recorded=recorded,
            comparisons=asking.comparisons,
            left_out=left_out,
        )
        return proposal, impact

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
        name = f"consultation/{keep.number}"
        self._ledger.records.put_document(owner, name, consultation)

    @activity_method
    def adopt_proposal(self, task: EndRevision) -> AdoptionResult:
        """Publish the next version of the rulebook; done again, it is the same one."""
        revision, ledger = task.revision, self._ledger
        owner = _owner(revision)
        entry_id = f"{owner}/adoption/{revision.number}"
        known = ledger.log.entry(entry_id)
        if known is not None:
            adoption = Adoption.model_validate(known.entry.body)
        else:
            adoption, version = self._adopt(task)
            # Both or none: another revision may have made that version meanwhile.
            name = f"{owner}/{version.version}"
            ledger.append_all(
                [
                    draft_of("adoption", entry_id, owner, adoption),
                    draft_of("rule-version", name, owner, version),
                ]
            )
        before = ledger.records.rulebook(revision.rulebook, adoption.before.version)
        publish_rulebook(ledger, apply_amendments(before, adoption.adopted))
        ledger.records.put_document(owner, "adoption", adoption)
        chosen = {item.preview.trial_id: item.effect for item in adoption.running}
        return AdoptionResult(
            before=adoption.before,
            after=adoption.after,
            running=tuple(chosen),
            ended=tuple(name for name, effect in chosen.items() if effect == "ended"),
        )

    @activity_method
    def retain_rulebook(self, task: EndRevision) -> Retention:
        """Record that the rulebook stays as it is, and why; done again, the same."""
        revision, ledger = task.revision, self._ledger
        owner = _owner(revision)
        retention = retain(
            self._proposal(revision),
            rulebook=ledger.records.rulebook(revision.rulebook),
            consultation=task.consultation,
            enactment=Enactment(by=task.by, at=task.at, reason=task.reason),
        )
        entry_id = f"{owner}/retention/{revision.number}"
        recorded = ledger.write_once("retention", entry_id, owner, retention)
        return Retention.model_validate(recorded)

    @activity_method
    def write_bundles(self, revision: RevisionInput) -> list[str]:
        """Write the bundles of the trials anew, with what became of their findings."""
        written = []
        for trial_id in revision.trials:
            activity.heartbeat(trial_id)
            written.append(self._bundles.write(self._ledger, trial_id))
        return written

    def _proposal(self, revision: RevisionInput) -> RevisionProposal:
        entry_id = f"{_owner(revision)}/proposal/{revision.number}"
        logged = self._ledger.log.entry(entry_id)
        if logged is None:
            raise RecordsError(f"the log has no {entry_id}; draft it first")
        return RevisionProposal.model_validate(logged.entry.body)

    def _grounds(self, trial_id: str) -> TrialGrounds:
        ledger = self._ledger
        findings = ledger.records.find_documents(trial_id, "finding/")
        return TrialGrounds(
            temporary_rule=ledger.temporary_rule(trial_id),
            findings=tuple(
                Finding.model_validate(findings[name]) for name in sorted(findings)
            ),
        )

    def _adopt(self, task: EndRevision) -> tuple[Adoption, Rulebook]:
        rulebook = self._ledger.records.rulebook(task.revision.rulebook)
        proposal = self._proposal(task.revision)
        enactment = Enactment(
            by=task.by,
            at=task.at,
            reason=task.reason,
            amendments=task.amendments,
            reasons=task.reasons,
        )
        # First whether it is lawful at all, then what it would mean.
        version, adoption = adopt(
            proposal,
            rulebook=rulebook,
            consultation=task.consultation,
            enactment=enactment,
        )
        running = self._choices(task, version)
        return adoption.model_copy(update={"running": running}), version

    def _choices(
        self, task: EndRevision, proposed: Rulebook
    ) -> tuple[TrialChoice, ...]:
        """Return what becomes of each running trial, with what is foreseen for it."""
        running = running_trials(self._ledger, task.revision.rulebook)
        names = [item.temporary_rule.trial_id for item in running]
        strangers = sorted(set(task.ended) - set(names))
        if strangers:
            raise ProcedureError(
                f"{', '.join(strangers)} is not running under"
                f" {task.revision.rulebook}, so it cannot end with the adoption; there"
                f" run {', '.join(names) or 'none'}"
            )
        comparisons = self._open_asking().telling(activity.heartbeat).comparisons
        return tuple(
            TrialChoice(
                preview=preview(trial, proposed, comparisons=comparisons),
                effect="ended"
                if trial.temporary_rule.trial_id in task.ended
                else "pinned",
            )
            for trial in running
        )


def _owner(revision: RevisionInput) -> str:
    return f"rulebook/{revision.rulebook}"


def _first_day(draft: DraftProposal) -> date:
    """Return the first day on which it may be adopted: when consultation can end."""
    regime = draft.revision.regime
    closes = add_period(
        draft.at, regime.minimum_consultation, time_zone=regime.time_zone
    )
    return closes.date()
