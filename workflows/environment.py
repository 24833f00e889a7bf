"""The environment of one trial: provision, freeze, thaw, tear down.

Rules of this module:

* The highest generation wins; an older wish is ignored.
* A freeze never waits: not for the trial, and not behind provisioning. It runs in the
  handler of its signal, what was under way is cancelled, and once that has ended the
  freeze runs again, so that nothing it re-opened stays open.
* It is started with ABANDON and outlives a continue-as-new of its trial; both speak by
  signals to workflow ids.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from temporalio import workflow
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    is_cancelled_exception,
)

with workflow.unsafe.imports_passed_through():
    from sandbox.model.trial import EnvironmentState
    from workflows.activities.enforce import EnforceActivities
    from workflows.activities.provision import ProvisionActivities
    from workflows.messages import (
        DesiredState,
        EnvironmentInput,
        EnvironmentOutcome,
        EnvironmentReport,
        EnvironmentTask,
        FreezeNow,
    )
    from workflows.options import begin, perform


@workflow.defn(name="EnvironmentWorkflow")
class EnvironmentWorkflow:
    """Brings one namespace into the desired state and says when it is there."""

    @workflow.init
    def __init__(self, start: EnvironmentInput) -> None:
        self._trial_id = start.trial_id
        self._generation = start.generation
        self._desired: EnvironmentState = start.desired
        self._state: EnvironmentState = start.state
        self._manifests = start.manifests
        self._reached = -1
        self._under_way: workflow.ActivityHandle[EnvironmentOutcome] | None = None
        self._freezing = asyncio.Lock()
        self._report = EnvironmentReport(
            generation=start.generation,
            state=start.state,
            namespace=f"trial-{start.trial_id}",
        )

    @workflow.run
    async def run(self, start: EnvironmentInput) -> EnvironmentReport:
        """Follow the desired state until the environment is gone or has failed."""
        while self._state not in ("gone", "failed"):
            await workflow.wait_condition(
                lambda: (
                    self._reached != self._generation
                    or workflow.info().is_continue_as_new_suggested()
                )
            )
            if self._reached == self._generation:
                await workflow.wait_condition(workflow.all_handlers_finished)
                workflow.continue_as_new(self._carry())
            await self._reconcile()
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._report

    @workflow.signal
    def set_desired_state(self, desired: DesiredState) -> None:
        """Follow a newer wish; one for less openness cancels what is under way."""
        if desired.generation <= self._generation or self._state == "gone":
            return
        self._generation = desired.generation
        self._desired = desired.state
        self._manifests = desired.manifests or self._manifests
        if self._under_way is not None:
            self._under_way.cancel()

    @workflow.signal
    async def freeze_now(self, freeze: FreezeNow) -> None:
        """Freeze at once; the caller does not know the generation, so take the next."""
        if self._state in ("gone", "failed") or self._desired == "gone":
            return
        self._generation += 1
        self._desired = "frozen"
        if self._under_way is not None:
            self._under_way.cancel()
        generation = self._generation
        try:
            await self._freeze(generation, freeze.breach_id)
        except ActivityError as error:
            await self._on_failure(error, generation)

    @workflow.query
    def status(self) -> EnvironmentReport:
        """Say what state the environment is in."""
        return self._report

    async def _reconcile(self) -> None:
        generation = self._generation
        try:
            if self._desired == "frozen":
                await self._freeze(generation)
            elif self._desired == "gone":
                await self._run(ProvisionActivities.remove_environment, "gone")
            else:
                await self._open()
        except ActivityError as error:
            await self._on_failure(error, generation)

    async def _open(self) -> None:
        if self._state in ("absent", "provisioning"):
            self._state = "provisioning"
            await self._run(ProvisionActivities.provision_environment, "ready")
        elif self._state == "frozen":
            await self._run(ProvisionActivities.thaw_environment, "ready")
        else:
            await self._run(ProvisionActivities.deploy_system, "ready")

    async def _run(
        self,
        method: Callable[[Any, EnvironmentTask], EnvironmentOutcome],
        reached: EnvironmentState,
    ) -> None:
        generation = self._generation
        prefix = workflow.info().task_queue.rsplit("-", 1)[0]
        self._under_way = begin(method, self._task(generation), prefix=prefix)
        try:
            outcome = await self._under_way
        finally:
            self._under_way = None
        await self._reach(generation, reached, outcome)

    async def _freeze(self, generation: int, breach_id: str = "") -> None:
        async with self._freezing:
            if self._reached >= generation:
                return
            task = self._task(generation, breach_id)
            outcome = await perform(EnforceActivities.freeze_environment, task)
            if self._under_way is not None:
                # What was cancelled may have re-opened something: freeze once more.
                await workflow.wait_condition(lambda: self._under_way is None)
                await perform(EnforceActivities.freeze_environment, task)
            await self._reach(generation, "frozen", outcome)

    async def _on_failure(self, error: ActivityError, generation: int) -> None:
        if is_cancelled_exception(error) or generation != self._generation:
            return
        cause = error.cause
        detail = cause.message if isinstance(cause, ApplicationError) else str(cause)
        # What could not be opened or frozen may not stay half open.
        await perform(ProvisionActivities.remove_environment, self._task(generation))
        outcome = EnvironmentOutcome(
            namespace=self._report.namespace,
            seconds=0.0,
            finished_at=workflow.now(),
            detail=detail,
        )
        await self._reach(generation, "failed", outcome)

    async def _reach(
        self, generation: int, state: EnvironmentState, outcome: EnvironmentOutcome
    ) -> None:
        self._state = state
        self._reached = max(self._reached, generation)
        self._report = EnvironmentReport(
            generation=self._reached,
            state=state,
            namespace=outcome.namespace,
            detail=outcome.detail,
            seconds=outcome.seconds,
            finished_at=outcome.finished_at,
            proof=outcome.proof,
        )
        trial = workflow.get_external_workflow_handle(f"trial/{self._trial_id}")
        try:
            await trial.signal("environment_changed", self._report)
        except ApplicationError:
            # The trial is gone; the environment still has to be brought to its end.
            workflow.logger.warning("no trial to tell: %s", self._report.state)

    def _task(self, generation: int, breach_id: str = "") -> EnvironmentTask:
        return EnvironmentTask(
            trial_id=self._trial_id,
            generation=generation,
            manifests=self._manifests,
            breach_id=breach_id,
        )

    def _carry(self) -> EnvironmentInput:
        return EnvironmentInput(
            trial_id=self._trial_id,
            generation=self._generation,
            state=self._state,
            desired=self._desired,
            manifests=self._manifests,
        )
