"""The trial as a program: its life, what people may do, what machines say.

Rules of this module:

* The state machine is `sandbox.procedure.case`; this program waits, asks and records.
* People act by updates, answered when their act is recorded. Machines signal.
* Continue-as-new happens only in `run`, between two stages, with no awaited child.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from sandbox.procedure import FINAL_STATES
    from workflows.messages import (
        Answer,
        BeginTrial,
        BreachReport,
        ChangeSystem,
        EnvironmentReport,
        ReportLoad,
        RulebookChanged,
        StopTrial,
        Submission,
        SubmitApplication,
        TrialState,
        TrialStatus,
    )
    from workflows.trial.acts import Acts
    from workflows.trial.journal import Journal
    from workflows.trial.stages import Stages


@workflow.defn(name="TrialWorkflow")
class TrialWorkflow:
    """One case from the first application to the last piece of evidence."""

    @workflow.init
    def __init__(self, start: TrialState) -> None:
        self._journal = Journal(start)
        self._acts = Acts(self._journal)
        self._stages = Stages(self._journal)

    @property
    def _state(self) -> TrialState:
        return self._journal.state

    @workflow.run
    async def run(self, start: TrialState) -> TrialStatus:
        """Follow the case to its end."""
        while self._journal.stands not in FINAL_STATES:
            await self._stages.live()
            if workflow.info().is_continue_as_new_suggested():
                await workflow.wait_condition(workflow.all_handlers_finished)
                workflow.continue_as_new(self._state)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self.status()

    # --- what people do -------------------------------------------------------------

    @workflow.update
    async def submit(self, submission: SubmitApplication) -> Submission:
        """File an application: it is admitted, or returned with every defect."""
        async with self._journal.lock:
            before = self._journal.answered(submission.decision_id)
            if before is not None:
                return Submission.model_validate(before)
            answer = await self._acts.submit(submission)
            self._journal.keep(submission.decision_id, answer.model_dump(mode="json"))
            return answer

    @workflow.update
    async def begin(self, begin: BeginTrial) -> Answer:
        """Begin the approved trial, once every gate before running is met."""
        return await self._once(begin.decision_id, lambda: self._acts.begin(begin))

    @workflow.update
    async def change_system(self, change: ChangeSystem) -> Answer:
        """Roll out another version; while paused it waits for the resumption."""
        return await self._once(
            change.decision_id, lambda: self._acts.change_system(change)
        )

    @workflow.update
    async def stop(self, stop: StopTrial) -> Answer:
        """End the trial before it expires."""
        return await self._once(stop.decision_id, lambda: self._acts.stop(stop))

    @workflow.update
    async def report_load(self, report: ReportLoad) -> Answer:
        """Keep the result of a load test as evidence."""
        return await self._once(
            report.decision_id, lambda: self._acts.keep_load(report)
        )

    # --- what machines say ------------------------------------------------------------

    @workflow.signal
    def environment_changed(self, report: EnvironmentReport) -> None:
        """Hear what state the environment has reached."""
        known = self._state.environment
        if known is not None and report.generation < known.generation:
            return
        proof = report.proof or (known.proof if known else None)
        self._journal.change(environment=report.model_copy(update={"proof": proof}))
        if report.state == "frozen" and report.finished_at and self._state.breaches:
            breach = self._state.breaches[-1]
            self._journal.note_freeze(report.finished_at - breach.detected_at)

    @workflow.signal
    def breach_reported(self, breach: BreachReport) -> None:
        """Hear that a guardrail signalled; the environment has been told already."""
        if all(item.breach_id != breach.breach_id for item in self._state.breaches):
            self._journal.change(breaches=(*self._state.breaches, breach))
        environment = self._state.environment
        if environment and environment.state == "frozen" and environment.finished_at:
            if environment.finished_at > breach.detected_at:
                self._journal.note_freeze(environment.finished_at - breach.detected_at)

    @workflow.signal
    async def rulebook_changed(self, change: RulebookChanged) -> None:
        """Record that a newer version exists; stay under the own one, or end."""
        ref, effect = change.adopted, change.effect
        async with self._journal.lock:
            await self._journal.record(
                "rule-version",
                f"{effect}/{self._state.trial_id}/{ref.rulebook}/{ref.version}",
                {"adopted": ref.model_dump(mode="json"), "effect": effect},
            )
            if effect == "ended":
                why = f"{ref.rulebook} v{ref.version} was adopted"
                self._journal.change(stop_requested=why)

    @workflow.query
    def status(self) -> TrialStatus:
        """Say where the case stands."""
        state = self._state
        return TrialStatus(
            trial_id=state.trial_id,
            state=state.case.state,
            version=state.case.version,
            review_id=state.review_id,
            environment=state.environment,
            expires_at=state.expires_at,
            pauses=state.pauses,
            breaches=state.breaches,
            frozen_after_s=state.frozen_after_s,
            refused_attempts=state.refused_attempts,
            bundle=state.bundle,
            failure=state.failure,
        )

    async def _once(
        self, decision_id: str, act: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        async with self._journal.lock:
            before = self._journal.answered(decision_id)
            if before is not None:
                return Answer.model_validate(before)
            answer = await act()
            self._journal.keep(decision_id, answer.model_dump(mode="json"))
            return answer
