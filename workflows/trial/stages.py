"""What happens in each state of a trial.

Rules of this module:

* Each stage waits for an act, a signal or the next lawful instant; nothing is polled.
* A trial ends at its expiry in every state in which its environment exists.
* Awaited children (reviews) end inside the stage that started them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from sandbox.model.trial import Pause
    from sandbox.procedure import Act
    from workflows.activities.ledger import LedgerActivities
    from workflows.messages import (
        BreachReport,
        CloseTrial,
        MonitorControl,
        MonitorState,
        ReviewInput,
        ReviewResult,
        SealSegments,
        TrialState,
    )
    from workflows.options import perform
    from workflows.review import ReviewWorkflow
    from workflows.trial.journal import Journal
    from workflows.trial.peers import start_monitor, tell_monitor, want


async def until(condition: Callable[[], bool], deadline: datetime | None) -> bool:
    """Wait for a condition or an instant; return whether the condition came first."""
    timeout = None
    if deadline is not None:
        timeout = max(deadline - workflow.now(), timedelta(milliseconds=1))
    try:
        await workflow.wait_condition(condition, timeout=timeout)
    except TimeoutError:
        return False
    return True


def is_long() -> bool:
    """Return whether the history asks for a continue-as-new."""
    return workflow.info().is_continue_as_new_suggested()


class Stages:
    """Lives through one state of the case at a time."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @property
    def _state(self) -> TrialState:
        return self._journal.state

    async def live(self) -> None:
        """Do what the present state asks for, until it is another."""
        now = self._journal.stands
        if now == "under_review":
            await self._be_reviewed()
        elif now == "approved":
            await self._await_beginning()
        elif now == "provisioning":
            await self._await_environment()
        elif now == "running":
            await self._run_trial()
        elif now == "paused":
            await self._be_reviewed_again()
        elif now == "closing":
            await self._close()
        else:
            await self._change_from(now)

    async def _change_from(self, state: str) -> None:
        await workflow.wait_condition(
            lambda: (
                self._journal.stands != state
                or workflow.info().is_continue_as_new_suggested()
            )
        )

    async def _be_reviewed(self) -> None:
        result = await self._review("admission", workflow.now())
        decision = result.decision
        self._journal.change(decision=decision, review_id="")
        self._journal.add_refused(result.refused_attempts)
        refused = decision.outcome == "refused"
        async with self._journal.lock:
            await self._journal.advance(
                "refuse" if refused else "approve",
                by=decision.approver,
                reason="; ".join(decision.reasons),
            )
            if self._state.terms and not refused:
                within = self._state.terms.must_start_within
                self._journal.change(must_start_by=self._journal.after(within))

    async def _await_beginning(self) -> None:
        begun = await until(
            lambda: self._journal.stands != "approved" or is_long(),
            self._state.must_start_by,
        )
        if not begun:
            await self._journal.step("expire", "the trial was not begun in time")

    async def _await_environment(self) -> None:
        if not self._journal.is_environment("ready", "failed", "gone"):
            await until(
                lambda: self._journal.is_environment("ready", "failed", "gone"),
                self._state.expires_at,
            )
        environment = self._state.environment
        if environment is not None and environment.state == "ready":
            # The watch begins before the trial does: nothing may run unwatched.
            window = self._state.regime.monitoring_window
            seconds = (self._journal.after(window) - workflow.now()).total_seconds()
            await start_monitor(
                MonitorState(trial_id=self._state.trial_id, window_s=seconds)
            )
            self._journal.change(started_at=workflow.now())
            await self._journal.step("start", "the environment is ready and proven")
            return
        detail = environment.detail if environment else "no environment in time"
        self._journal.change(failure=detail)
        await self._journal.step(
            "fail", detail or "the environment could not be proven"
        )

    async def _run_trial(self) -> None:
        in_time = await until(
            lambda: bool(
                self._journal.open_breach
                or self._state.stop_requested
                or self._journal.is_environment_lost
                or is_long()
            ),
            self._state.expires_at,
        )
        breach = self._journal.open_breach
        if self._state.stop_requested:
            await self._journal.step("stop", self._state.stop_requested)
        elif self._journal.is_environment_lost:
            await self._journal.step("stop", "the environment failed and was removed")
        elif breach is None:
            if not in_time:
                await self._journal.step("expire", "the temporary rule has ended")
        elif breach.action == "stop":
            await self._journal.step(
                "stop", f"guardrail {breach.guardrail} signalled harm"
            )
        else:
            await self._pause(breach)

    async def _pause(self, breach: BreachReport) -> None:
        reason = breach.cause or f"guardrail {breach.guardrail} signalled harm"
        pause = Pause(reason=reason, paused_at=breach.detected_at)
        self._journal.change(pauses=(*self._state.pauses, pause))
        await self._journal.step("pause", reason)

    async def _be_reviewed_again(self) -> None:
        review = asyncio.ensure_future(self._review("resumption", workflow.now()))
        decided = await until(
            lambda: review.done() or bool(self._state.stop_requested),
            self._state.expires_at,
        )
        if not decided or not review.done():
            review.cancel()
            await asyncio.gather(review, return_exceptions=True)
            self._journal.change(review_id="")
            act: Act = "stop" if self._state.stop_requested else "expire"
            await self._journal.step(
                act, self._state.stop_requested or "ended while paused"
            )
            return
        result = review.result()
        self._journal.change(review_id="")
        self._journal.add_refused(result.refused_attempts)
        if result.decision.outcome == "refused":
            await self._journal.step("stop", "; ".join(result.decision.reasons))
            return
        await self._resume(result)

    async def _resume(self, result: ReviewResult) -> None:
        await want(self._journal, "ready")
        wanted = self._state.generation
        await until(
            lambda: self._journal.is_environment("ready", "failed", generation=wanted),
            self._state.expires_at,
        )
        if not self._journal.is_environment("ready"):
            await self._journal.step(
                "stop", "the environment could not be opened again"
            )
            return
        ended = self._state.pauses[-1].model_copy(update={"resumed_at": workflow.now()})
        self._journal.change(pauses=(*self._state.pauses[:-1], ended))
        async with self._journal.lock:
            await self._journal.advance(
                "resume",
                by=result.decision.approver,
                reason="; ".join(result.decision.reasons),
            )
        await tell_monitor(self._state.trial_id, MonitorControl(command="resume"))

    async def _close(self) -> None:
        state = self._state
        await tell_monitor(state.trial_id, MonitorControl(command="stop"))
        if state.generation and not self._journal.is_environment("gone", "failed"):
            await want(self._journal, "gone")
            await workflow.wait_condition(
                lambda: self._journal.is_environment("gone", "failed")
            )
        if state.started_at is not None and state.terms is not None:
            ended_at = workflow.now()
            settled = self._journal.after(state.terms.settling_time)
            await until(lambda: False, settled)
            seal = SealSegments(trial_id=state.trial_id, roll=True)
            await perform(LedgerActivities.seal_segments, seal)
            closing = await perform(
                LedgerActivities.close_trial,
                CloseTrial(
                    trial_id=state.trial_id,
                    regime=state.regime,
                    pauses=self._state.pauses,
                    started_at=state.started_at,
                    ended_at=ended_at,
                ),
            )
            self._journal.change(bundle=closing.bundle)
        await self._journal.step("close", "nothing is left but the evidence")

    async def _review(self, stage: str, opened_at: datetime) -> ReviewResult:
        number = self._state.reviews + 1
        review_id = f"review/{self._state.trial_id}/{stage}/{number}"
        self._journal.change(reviews=number)
        start = ReviewInput.model_validate(
            {
                "trial_id": self._state.trial_id,
                "stage": stage,
                "number": number,
                "regime": self._state.regime.model_dump(mode="json", by_alias=True),
                "applicant": self._state.applicant,
                "opened_at": opened_at,
            }
        )
        review = await workflow.start_child_workflow(
            ReviewWorkflow.run, start, id=review_id
        )
        # Named only now: whoever reads the name may call on it at once.
        self._journal.change(review_id=review_id)
        return await review
