"""The revision of a rulebook: proposal, consultation, dispositions, adoption.

Rules of this module:

* The proposal is open for comment at least as long as the regime says; a comment after
  the end, and an adoption before it, are refused on record.
* Every comment gets a disposition with a reason before anything is adopted.
* Adoption publishes version n+1; running trials are told and keep their own
  version, or end, as was chosen for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from sandbox.errors import ProcedureError
    from sandbox.model.decision import Refusal
    from sandbox.model.party import Actor
    from sandbox.model.proposal import (
        Comment,
        Consultation,
        Disposition,
        Retention,
    )
    from sandbox.model.record import Record
    from sandbox.revision import add_comment, dispose, undisposed
    from workflows.activities.revise import ReviseActivities
    from workflows.messages import (
        Adopt,
        AdoptionResult,
        Answer,
        DisposeComment,
        DraftProposal,
        EndRevision,
        FileComment,
        KeepConsultation,
        OpenConsultation,
        ProposalSummary,
        Retain,
        RevisionInput,
        RevisionStatus,
        RulebookChanged,
    )
    from workflows.options import perform
    from workflows.recording import record_entry

R = TypeVar("R")
_NOT_LAWFUL = ("ProcedureError", "InputError")


@workflow.defn(name="RevisionWorkflow")
class RevisionWorkflow:
    """Carries the findings of trials back into the rule."""

    @workflow.init
    def __init__(self, start: RevisionInput) -> None:
        self._start = start
        self._lock = asyncio.Lock()
        self._proposal: ProposalSummary | None = None
        self._consultation: Consultation | None = None
        self._closed = False
        self._adopted: AdoptionResult | None = None
        self._retained: Retention | None = None

    @workflow.run
    async def run(self, start: RevisionInput) -> RevisionStatus:
        """Draft, consult, and wait for the owner's decision."""
        draft = DraftProposal(revision=start, at=workflow.now())
        self._proposal = await perform(ReviseActivities.draft_proposal, draft)
        opening = OpenConsultation(revision=start, at=workflow.now())
        consultation = await perform(ReviseActivities.open_consultation, opening)
        self._consultation = consultation
        await self._keep()
        left = consultation.open.end - workflow.now()
        await workflow.sleep(max(left, timedelta()))
        self._closed = True
        await workflow.wait_condition(lambda: self._is_decided)
        await workflow.wait_condition(workflow.all_handlers_finished)
        await self._tell_running_trials()
        await perform(ReviseActivities.write_bundles, start)
        return self.status()

    @workflow.update
    async def comment(self, filed: FileComment) -> Answer:
        """File a comment while the consultation is open."""

        async def act() -> Answer:
            comment = Comment(
                comment_id=filed.comment_id,
                by=filed.by,
                text=filed.text,
                at=workflow.now(),
            )
            self._consultation = add_comment(self._open, comment)
            return await self._record("comment", filed.comment_id, comment)

        return await self._attempt("comment", filed.comment_id, filed.by, act)

    @workflow.update
    async def dispose(self, disposal: DisposeComment) -> Answer:
        """Say what became of a comment, and why."""

        async def act() -> Answer:
            disposition = Disposition(
                comment_id=disposal.comment_id,
                outcome=disposal.outcome,
                reason=disposal.reason,
                by=disposal.by,
                at=workflow.now(),
            )
            self._consultation = dispose(self._open, disposition)
            return await self._record("disposition", disposal.comment_id, disposition)

        return await self._attempt("dispose", disposal.decision_id, disposal.by, act)

    @workflow.update
    async def adopt(self, adopt: Adopt) -> Answer:
        """Adopt the proposal, when the law allows it."""

        async def act() -> Answer:
            task = self._ending(adopt)
            self._adopted = await _lawfully(ReviseActivities.adopt_proposal, task)
            return Answer(accepted=True)

        return await self._attempt("adopt", adopt.decision_id, adopt.by, act)

    @workflow.update
    async def retain(self, retain: Retain) -> Answer:
        """Leave the rulebook as it is, when the law allows to decide."""

        async def act() -> Answer:
            task = self._ending(retain)
            self._retained = await _lawfully(ReviseActivities.retain_rulebook, task)
            return Answer(accepted=True)

        return await self._attempt("retain", retain.decision_id, retain.by, act)

    @workflow.query
    def status(self) -> RevisionStatus:
        """Say where the revision stands."""
        consultation = self._consultation
        if consultation is None:
            return RevisionStatus(state="drafting", proposal=self._proposal)
        state = "deciding" if self._closed else "consulting"
        if self._is_decided:
            state = "adopted" if self._adopted else "retained"
        return RevisionStatus.model_validate(
            {
                "state": state,
                "proposal": self._proposal,
                "opens_at": consultation.open.start,
                "closes_at": consultation.open.end,
                "comments": len(consultation.comments),
                "undisposed": undisposed(consultation),
                "adopted": self._adopted.after if self._adopted else None,
            }
        )

    @property
    def _open(self) -> Consultation:
        if self._consultation is None:
            raise ProcedureError(
                "the proposal is still being drafted; wait until it is open for comment"
            )
        return self._consultation

    @property
    def _is_decided(self) -> bool:
        return self._adopted is not None or self._retained is not None

    def _ending(self, decision: Adopt | Retain) -> EndRevision:
        if self._is_decided:
            raise ProcedureError(
                f"the revision is {self.status().state} already; start another one"
            )
        consultation = self._open
        assert self._proposal is not None
        text: dict[str, Any] = {}
        if isinstance(decision, Adopt):
            text = decision.model_dump(include={"ended", "amendments", "reasons"})
        return EndRevision(
            revision=self._start,
            by=decision.by,
            reason=decision.reason,
            consultation=consultation,
            at=workflow.now(),
            **text,
        )

    async def _attempt(
        self,
        act_name: str,
        decision_id: str,
        by: Actor,
        act: Callable[[], Awaitable[Answer]],
    ) -> Answer:
        async with self._lock:
            try:
                answer = await act()
            except ProcedureError as error:
                refusal = Refusal(
                    decision_id=decision_id,
                    code="not-lawful",
                    what=error.diagnosis,
                    by=by,
                    act=act_name,
                    at=workflow.now(),
                )
                place = await self._record("refusal", decision_id, refusal)
                return place.model_copy(update={"accepted": False, "refusal": refusal})
            await self._keep()
            return answer

    async def _record(self, kind: str, name: str, body: Record) -> Answer:
        owner = f"rulebook/{self._start.rulebook}"
        index = await record_entry(
            kind,
            entry_id_of(self._start, kind, name),
            owner=owner,
            body=body.model_dump(mode="json"),
        )
        return Answer(accepted=True, index=index)

    async def _keep(self) -> None:
        await perform(
            ReviseActivities.keep_consultation,
            KeepConsultation(
                rulebook=self._start.rulebook,
                number=self._start.number,
                consultation=self._open.model_dump(mode="json"),
            ),
        )

    async def _tell_running_trials(self) -> None:
        if self._adopted is None:
            return
        for trial_id in self._adopted.running:
            change = RulebookChanged(
                adopted=self._adopted.after,
                effect="ended" if trial_id in self._adopted.ended else "pinned",
            )
            trial = workflow.get_external_workflow_handle(f"trial/{trial_id}")
            try:
                await trial.signal("rulebook_changed", change)
            except ApplicationError:
                workflow.logger.warning("trial %s has ended meanwhile", trial_id)


def entry_id_of(revision: RevisionInput, kind: str, name: str) -> str:
    """Return the id of an entry that people named.

    It begins with the kind and the number of the revision, so that no name they choose
    is that of a version, of an adoption, or of an entry of another revision.
    """
    return f"rulebook/{revision.rulebook}/{kind}/{revision.number}/{name}"


async def _lawfully(method: Callable[[Any, EndRevision], R], task: EndRevision) -> R:
    """Perform an activity; what it finds unlawful becomes a refusal on record."""
    try:
        return await perform(method, task)
    except ActivityError as error:
        cause = error.cause
        if isinstance(cause, ApplicationError) and cause.type in _NOT_LAWFUL:
            raise ProcedureError(cause.message) from error
        raise
