"""The environment of one trial: provision, freeze, thaw, tear down.

Rules of this module:

* The highest generation wins; an older wish is ignored, except for the end.
* A freeze never waits: not for the trial, and not behind provisioning. It runs in the
  handler of its signal, what was under way is cancelled, and once that has ended the
  freeze runs again, so that nothing it re-opened stays open.
* Between wishes it looks at intervals whether the environment still is as decided, and
  now and then proves it again; it never judges that itself.
* It is started with ABANDON and outlives a continue-as-new of its trial; both speak by
  signals to workflow ids.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar, cast

from temporalio import workflow
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    is_cancelled_exception,
)

with workflow.unsafe.imports_passed_through():
    from sandbox.model.trial import EnvironmentState
    from workflows.activities.enforce import EnforceActivities
    from workflows.activities.inspect import InspectActivities
    from workflows.activities.provision import ProvisionActivities
    from workflows.messages import (
        BreachReport,
        DesiredState,
        EnvironmentInput,
        EnvironmentOutcome,
        EnvironmentReport,
        EnvironmentTask,
        FreezeNow,
        InspectEnvironment,
        MonitorControl,
    )
    from workflows.options import begin, perform

A = TypeVar("A")
R = TypeVar("R")


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
        self._reached = start.reached
        self._start = start
        self._uid = start.uid
        self._seen = start.seen
        self._proven_at = start.proven_at
        self._under_way: workflow.ActivityHandle[Any] | None = None
        self._freezing = asyncio.Lock()
        self._report = EnvironmentReport(
            generation=start.generation,
            state=start.state,
            namespace=start.namespace or f"trial-{start.trial_id}",
        )

    @workflow.run
    async def run(self, start: EnvironmentInput) -> EnvironmentReport:
        """Follow the desired state until the environment is gone or has failed."""
        while self._state not in ("gone", "failed"):
            is_due = await self._wait()
            if self._reached != self._generation:
                await self._reconcile()
            elif is_due:
                await self._inspect()
            else:
                await workflow.wait_condition(workflow.all_handlers_finished)
                workflow.continue_as_new(self._carry())
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._report

    @workflow.signal
    def set_desired_state(self, desired: DesiredState) -> None:
        """Follow a newer wish, which cancels what is under way; the end is always new.

        A freeze of the environment's own may have taken the number of the trial's wish.
        """
        is_end = desired.state == "gone" and self._desired != "gone"
        is_new = desired.generation > self._generation or is_end
        if not is_new or self._state == "gone":
            return
        self._generation = max(desired.generation, self._generation + 1)
        self._desired = desired.state
        self._manifests = desired.manifests or self._manifests
        if self._under_way is not None:
            self._under_way.cancel()

    @workflow.signal
    async def freeze_now(self, freeze: FreezeNow) -> None:
        """Freeze at once; the caller does not know the generation, so take the next."""
        if self._state in ("gone", "failed") or self._desired == "gone":
            return
        await self._freeze_next(freeze.breach_id)

    @workflow.query
    def status(self) -> EnvironmentReport:
        """Say what state the environment is in."""
        return self._report

    async def _wait(self) -> bool:
        """Wait for a wish, a long history or an inspection; return if that is due."""
        every, is_open = self._start.inspect_every_s, self._state in ("ready", "frozen")
        timeout = timedelta(seconds=every) if every and is_open else None
        try:
            await workflow.wait_condition(
                lambda: (
                    self._reached != self._generation
                    or workflow.info().is_continue_as_new_suggested()
                ),
                timeout=timeout,
            )
        except TimeoutError:
            return True
        return False

    async def _inspect(self) -> None:
        generation = self._generation
        try:
            breach = await self._look()
        except ActivityError as error:
            if not is_cancelled_exception(error):
                workflow.logger.warning("not inspected: %s", error.cause)
            return
        if breach is None or generation != self._generation:
            # A newer wish was heard meanwhile; it decides.
            return
        if self._state == "frozen":
            # Nothing worse can be done, and the trial stands still already.
            await self._freeze_next(breach.breach_id)
            return
        await asyncio.gather(
            self._freeze_next(breach.breach_id),
            self._tell(f"trial/{self._trial_id}", "breach_reported", breach),
            self._tell(
                f"monitor/{self._trial_id}", "control", MonitorControl(command="pause")
            ),
        )

    async def _look(self) -> BreachReport | None:
        """Compare, and prove again where that is due; return why to freeze, if so."""
        task = InspectEnvironment(
            trial_id=self._trial_id,
            shape="frozen" if self._state == "frozen" else "ready",
            uid=self._uid,
            seen=self._seen,
        )
        found = await self._cancellable(InspectActivities.inspect_environment, task)
        self._seen = found.seen
        self._report = self._report.model_copy(update={"inspected_at": workflow.now()})
        if found.breach is not None or not self._is_proof_due:
            return found.breach
        again = self._task(self._generation)
        proven = await self._cancellable(InspectActivities.prove_environment, again)
        if proven.proof is not None:
            self._proven_at = workflow.now()
            self._report = self._report.model_copy(update={"proof": proven.proof})
        return proven.breach

    @property
    def _is_proof_due(self) -> bool:
        every, last = self._start.prove_every_s, self._proven_at
        if not every or self._state != "ready":
            return False
        return last is None or workflow.now() - last >= timedelta(seconds=every)

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
        outcome = await self._cancellable(method, self._task(generation))
        await self._reach(generation, reached, outcome)

    async def _cancellable(self, method: Callable[[Any, A], R], task: A) -> R:
        """Run an activity that a newer wish or a freeze cancels."""
        prefix = workflow.info().task_queue.rsplit("-", 1)[0]
        handle = self._under_way = begin(method, task, prefix=prefix)
        try:
            return await cast("Awaitable[R]", handle)
        finally:
            self._under_way = None

    async def _freeze_next(self, breach_id: str) -> None:
        """Freeze as the next generation, whatever else is under way."""
        self._generation += 1
        self._desired = "frozen"
        if self._under_way is not None:
            self._under_way.cancel()
        generation = self._generation
        try:
            await self._freeze(generation, breach_id)
        except ActivityError as error:
            await self._on_failure(error, generation)

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
        detail = _said(error)
        try:
            # What could not be opened or frozen may not stay half open.
            task = self._task(generation)
            await perform(ProvisionActivities.remove_environment, task)
        except ActivityError as second:
            # Such as a namespace that is not ours: the trial must hear of it.
            detail = f"{detail}; and it could not be removed: {_said(second)}"
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
        self._uid = outcome.uid or self._uid
        if outcome.proof is not None:
            self._proven_at = workflow.now()
        self._report = EnvironmentReport(
            generation=self._reached,
            state=state,
            namespace=outcome.namespace,
            detail=outcome.detail,
            seconds=outcome.seconds,
            finished_at=outcome.finished_at,
            proof=outcome.proof,
        )
        # Where the trial is gone, the environment still has to be brought to its end.
        await self._tell(f"trial/{self._trial_id}", "environment_changed", self._report)

    async def _tell(self, workflow_id: str, signal: str, message: object) -> None:
        other = workflow.get_external_workflow_handle(workflow_id)
        try:
            await other.signal(signal, message)
        except ApplicationError:
            workflow.logger.warning("no %s to be told %s", workflow_id, signal)

    def _task(self, generation: int, breach_id: str = "") -> EnvironmentTask:
        return EnvironmentTask(
            trial_id=self._trial_id,
            generation=generation,
            manifests=self._manifests,
            breach_id=breach_id,
            uid=self._uid,
            namespace=self._report.namespace,
        )

    def _carry(self) -> EnvironmentInput:
        return self._start.model_copy(
            update={
                "generation": self._generation,
                "state": self._state,
                "desired": self._desired,
                "manifests": self._manifests,
                "reached": self._reached,
                "uid": self._uid,
                "namespace": self._report.namespace,
                "seen": self._seen,
                "proven_at": self._proven_at,
            }
        )


def _said(error: ActivityError) -> str:
    cause = error.cause
    return cause.message if isinstance(cause, ApplicationError) else str(cause)
