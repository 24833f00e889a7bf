"""Record first: what a trial does takes effect only after its entry is in the log.

Rules of this module:

* A transition is asked of `sandbox.procedure.case`, recorded, and only then taken.
* An act that is not lawful is recorded as a refusal and has no effect.
* The answer to a decision id is kept; the same id gets the same answer, also after a
  continue-as-new, when Temporal no longer knows the update.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from sandbox.errors import ProcedureError
    from sandbox.model.decision import Refusal
    from sandbox.model.party import Actor
    from sandbox.model.trial import CaseState
    from sandbox.procedure import Act, add_period, advance
    from workflows.activities.ledger import LedgerActivities
    from workflows.messages import (
        Answer,
        BreachReport,
        CaseUpdate,
        TrialState,
    )
    from workflows.options import perform
    from workflows.recording import record_entry

MACHINE = Actor(name="trial-workflow", role="machine")
_KEPT_ANSWERS = 200


class Journal:
    """Holds the state of one trial and changes it only by recorded steps."""

    def __init__(self, state: TrialState) -> None:
        self.state = state
        self.lock = asyncio.Lock()
        """Held while an act is weighed and recorded, so that acts have an order."""

    def change(self, **fields: Any) -> None:
        """Replace fields of the state that need no entry of their own."""
        self.state = self.state.model_copy(update=fields)

    async def advance(self, act: Act, *, by: Actor = MACHINE, reason: str) -> None:
        """Take one step of the case.

        Raises:
            ProcedureError: The step is not lawful in this state or by this actor.
        """
        case, transition = advance(
            self.state.case, act, by=by, reason=reason, at=workflow.now()
        )
        entry_id = f"transition/{case.trial_id}/{transition.version}"
        await self.record("transition", entry_id, transition.model_dump(mode="json"))
        self.change(case=case)
        await perform(
            LedgerActivities.update_case,
            CaseUpdate(trial_id=case.trial_id, state=case.state),
        )

    async def record(self, kind: str, entry_id: str, body: dict[str, Any]) -> int:
        """Append an entry and return its place in the log."""
        owner = self.state.trial_id
        return await record_entry(kind, entry_id, owner=owner, body=body)

    async def refuse(self, decision_id: str, act: str, by: Actor, why: str) -> Answer:
        """Record an attempt that has no effect, and answer it."""
        refusal = Refusal(
            decision_id=decision_id,
            code="not-lawful",
            what=why,
            by=by,
            act=act,
            at=workflow.now(),
        )
        index = await self.record(
            "refusal", f"refusal/{decision_id}", refusal.model_dump(mode="json")
        )
        self.change(refused_attempts=self.state.refused_attempts + 1)
        return Answer(accepted=False, refusal=refusal, index=index)

    async def attempt(
        self, act: Act, decision_id: str, *, by: Actor, reason: str
    ) -> Answer:
        """Take a step a person asked for, or refuse it on record."""
        try:
            await self.advance(act, by=by, reason=reason)
        except ProcedureError as error:
            return await self.refuse(decision_id, act, by, error.diagnosis)
        return Answer(accepted=True)

    async def step(self, act: Act, reason: str) -> None:
        """Take a step of the machine's own; one that came too late is let go."""
        async with self.lock:
            try:
                await self.advance(act, reason=reason)
            except ProcedureError as error:
                workflow.logger.warning("not taken: %s", error.diagnosis)

    def answered(self, decision_id: str) -> dict[str, Any] | None:
        """Return the answer this decision id was given before, if any."""
        return self.state.processed.get(decision_id)

    def keep(self, decision_id: str, answer: dict[str, Any]) -> None:
        """Keep an answer for the same decision id; the oldest are let go."""
        kept = {**self.state.processed, decision_id: answer}
        self.change(processed=dict(list(kept.items())[-_KEPT_ANSWERS:]))

    @property
    def stands(self) -> CaseState:
        """The state of the case."""
        return self.state.case.state

    @property
    def open_breach(self) -> BreachReport | None:
        """The breach that has not yet led to a pause, if any."""
        serious = [item for item in self.state.breaches if item.action != "warn"]
        acted_on = len(self.state.pauses)
        return serious[acted_on] if len(serious) > acted_on else None

    @property
    def is_environment_lost(self) -> bool:
        """Whether the environment failed or is gone."""
        return self.is_environment("failed", "gone")

    def is_environment(self, *states: str, generation: int = 0) -> bool:
        """Return whether the environment has reached one of `states`."""
        known = self.state.environment
        return (
            known is not None
            and known.generation >= generation
            and known.state in states
        )

    def after(self, period: str) -> datetime:
        """Return the instant one period from now, in the regime's calendar."""
        zone = self.state.regime.time_zone
        return add_period(workflow.now(), period, time_zone=zone)

    def note_freeze(self, after: timedelta) -> None:
        """Keep how long a breach took to become a frozen environment, once each."""
        if len(self.state.frozen_after_s) < len(self.state.breaches):
            seconds = round(after.total_seconds(), 3)
            self.change(frozen_after_s=(*self.state.frozen_after_s, seconds))

    def add_refused(self, attempts: int) -> None:
        """Count the attempts a review had to refuse."""
        self.change(refused_attempts=self.state.refused_attempts + attempts)
