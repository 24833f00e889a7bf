"""One decision by several people: opinions are heard, then an approver decides.

Rules of this module:

* Whether an act is lawful is asked of `sandbox.procedure.review`; this program only
  waits.
* An attempt that is not lawful is accepted as an update, recorded, and answered with
  the refusal; it leaves a trace for ever.
* A missed deadline is recorded; what it means stands in the regime's clock.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from sandbox.model.decision import Decision, Opinion, Refusal
    from sandbox.model.record import Record
    from sandbox.procedure import consider_decision, consider_opinion, due_at
    from workflows.messages import (
        Answer,
        CastOpinion,
        Decide,
        Recuse,
        ReviewInput,
        ReviewResult,
        ReviewStatus,
    )
    from workflows.recording import record_entry


@workflow.defn(name="ReviewWorkflow")
class ReviewWorkflow:
    """Hears the authorities of the regime and takes one decision."""

    @workflow.init
    def __init__(self, start: ReviewInput) -> None:
        self._start = start
        self._opinions: dict[str, Opinion] = {o.authority: o for o in start.opinions}
        self._recused = set(start.recused)
        self._refused = start.refused_attempts
        self._decision: Decision | None = None
        self._lock = asyncio.Lock()

    @workflow.run
    async def run(self, start: ReviewInput) -> ReviewResult:
        """Wait for the decision; record the deadline when it passes."""
        due = self._due_at()
        if due is not None and not await self._decided_by(due):
            await self._record(
                "deadline",
                f"{workflow.info().workflow_id}/deadline",
                {"due_at": due.isoformat(), "clock": "decision", "stage": start.stage},
            )
        await workflow.wait_condition(lambda: self._decision is not None)
        await workflow.wait_condition(workflow.all_handlers_finished)
        assert self._decision is not None
        return ReviewResult(
            decision=self._decision,
            opinions=tuple(self._opinions[key] for key in sorted(self._opinions)),
            refused_attempts=self._refused,
        )

    @workflow.update
    async def cast_opinion(self, cast: CastOpinion) -> Answer:
        """Hear one authority."""
        async with self._lock:
            opinion = Opinion(
                decision_id=cast.decision_id,
                by=cast.by,
                authority=cast.authority,
                position=cast.position,
                reasons=cast.reasons,
                conditions=cast.conditions,
            )
            heard = consider_opinion(
                opinion,
                regime=self._start.regime,
                applicant=self._start.applicant,
                at=workflow.now(),
            )
            if isinstance(heard, Refusal):
                return await self._refuse(heard)
            index = await self._record("opinion", heard.decision_id, _body(heard))
            self._opinions[heard.authority] = heard
            return Answer(accepted=True, index=index)

    @workflow.update
    async def recuse(self, recuse: Recuse) -> Answer:
        """Let a person step aside; they can no longer decide."""
        async with self._lock:
            body = {"act": "recuse", "name": recuse.by.name, "reason": recuse.reason}
            index = await self._record("opinion", recuse.decision_id, body)
            self._recused.add(recuse.by.name)
            return Answer(accepted=True, index=index)

    @workflow.update
    async def decide(self, decide: Decide) -> Answer:
        """Decide, or be refused on record."""
        async with self._lock:
            outcome = self._consider(decide)
            if isinstance(outcome, Refusal):
                return await self._refuse(outcome)
            index = await self._record("decision", outcome.decision_id, _body(outcome))
            self._decision = outcome
            return Answer(accepted=True, index=index)

    @workflow.query
    def status(self) -> ReviewStatus:
        """Say who has been heard and what is missing."""
        wanted = [item.authority for item in self._start.regime.authorities]
        return ReviewStatus(
            stage=self._start.stage,
            heard=tuple(sorted(self._opinions)),
            missing=tuple(name for name in wanted if name not in self._opinions),
            due_at=self._due_at(),
            decided=self._decision is not None,
            refused_attempts=self._refused,
        )

    def _consider(self, decide: Decide) -> Decision | Refusal:
        request, now = decide.request, workflow.now()
        for person in (decide.by, request.assessor):
            if person.name in self._recused:
                return _refusal(decide, "recused", f"{person.name} has stepped aside")
        if self._decision is not None:
            return _refusal(decide, "already-decided", "the case is already decided")
        return consider_decision(
            request,
            trial_id=self._start.trial_id,
            approver=decide.by,
            applicant=self._start.applicant,
            regime=self._start.regime,
            opinions=tuple(self._opinions.values()),
            at=now,
        )

    async def _refuse(self, refusal: Refusal) -> Answer:
        index = await self._record("refusal", refusal.decision_id, _body(refusal))
        self._refused += 1
        return Answer(accepted=False, refusal=refusal, index=index)

    async def _record(self, kind: str, entry_id: str, body: dict[str, Any]) -> int:
        owner = self._start.trial_id
        return await record_entry(kind, entry_id, owner=owner, body=body)

    def _due_at(self) -> datetime | None:
        regime = self._start.regime
        clock = regime.clock("decision" if self._is_admission else "resumption")
        if clock is None:
            return None
        event = "admitted" if self._is_admission else "paused"
        return due_at(clock, {event: self._start.opened_at}, time_zone=regime.time_zone)

    @property
    def _is_admission(self) -> bool:
        return self._start.stage == "admission"

    async def _decided_by(self, due: datetime) -> bool:
        wait = max(due - workflow.now(), timedelta())
        try:
            await workflow.wait_condition(
                lambda: self._decision is not None, timeout=wait
            )
        except TimeoutError:
            return False
        return True


def _body(record: Record) -> dict[str, Any]:
    return record.model_dump(mode="json")


def _refusal(decide: Decide, code: str, what: str) -> Refusal:
    return Refusal(
        decision_id=decide.request.decision_id,
        code=code,
        what=what,
        by=decide.by,
        act="decide",
        at=workflow.now(),
    )
