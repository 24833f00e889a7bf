"""The monitor of one trial: one window after another, sealed as it goes.

Rules of this module:

* Evaluation happens in one heartbeating activity per window, which ends at once when a
  guardrail signals; there is no timer loop, so a long trial has a short history.
* On a breach the environment is told to freeze *and* the trial is told why; neither
  waits for the other.
* A recorder that is off for longer than the plan allows is acted on like a breach, and
  so is a segment that cannot be read.
* Segments are sealed after every window, so evidence is provable while the trial runs.
"""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    is_cancelled_exception,
)

with workflow.unsafe.imports_passed_through():
    from workflows.activities.ledger import LedgerActivities
    from workflows.activities.observe import ObserveActivities
    from workflows.messages import (
        BreachReport,
        FreezeNow,
        MonitorControl,
        MonitorState,
        MonitorStatus,
        SealSegments,
        WindowResult,
    )
    from workflows.options import begin, perform


@workflow.defn(name="MonitorWorkflow")
class MonitorWorkflow:
    """Watches the recorded spans of one trial until told to stop."""

    @workflow.init
    def __init__(self, start: MonitorState) -> None:
        self._state = start
        self._stopping = False
        self._paused = False
        self._window: workflow.ActivityHandle[WindowResult] | None = None

    @workflow.run
    async def run(self, start: MonitorState) -> MonitorStatus:
        """Watch window after window; continue-as-new when the history asks for it."""
        while not self._stopping:
            if self._paused:
                await workflow.wait_condition(
                    lambda: self._stopping or not self._paused
                )
                continue
            await self._watch()
            seal = SealSegments(trial_id=self._state.trial_id)
            sealing = await perform(LedgerActivities.seal_segments, seal)
            await self._act_on_damage(sealing.damaged)
            if self._may_renew:
                workflow.continue_as_new(self._state)
        return self.status()

    @workflow.signal
    def control(self, control: MonitorControl) -> None:
        """Pause after this window, go on after a pause, or stop for good."""
        if control.command == "stop":
            self._stopping = True
            if self._window is not None:
                self._window.cancel()
        elif control.command == "pause":
            self._paused = True
        elif self._paused:
            self._paused = False
            self._state = self._state.model_copy(
                update={
                    "surveillance": self._state.surveillance + 1,
                    "begun": False,
                }
            )

    @workflow.query
    def status(self) -> MonitorStatus:
        """Say how far the monitor has come."""
        return MonitorStatus(
            windows=self._state.windows,
            looks=self._state.looks,
            counts=self._state.counts,
            watching=self._window is not None,
        )

    @property
    def _may_renew(self) -> bool:
        suggested = workflow.info().is_continue_as_new_suggested()
        return suggested and not (self._paused or self._stopping)

    async def _watch(self) -> None:
        if not self._state.begun:
            self._state = await perform(ObserveActivities.start_watch, self._state)
        prefix = workflow.info().task_queue.rsplit("-", 1)[0]
        self._window = begin(ObserveActivities.watch_window, self._state, prefix=prefix)
        try:
            result = await self._window
        except ActivityError as error:
            if not is_cancelled_exception(error):
                raise
            return
        finally:
            self._window = None
        self._state = result.state
        if result.breach is not None:
            await self._act_on(result.breach)

    async def _act_on_damage(self, damaged: tuple[BreachReport, ...]) -> None:
        """Pause, once for all that is new: each is recorded already."""
        known = self._state.damaged
        new = [item for item in damaged if item.segment not in known]
        numbers = tuple(item.segment for item in new if item.segment is not None)
        update = {"damaged": (*known, *numbers)}
        self._state = self._state.model_copy(update=update)
        if new and not (self._paused or self._stopping):
            await self._act_on(new[0])

    async def _act_on(self, breach: BreachReport) -> None:
        trial_id = self._state.trial_id
        if breach.action != "warn":
            self._paused = True
            freeze = FreezeNow(
                reason=breach.cause or breach.guardrail, breach_id=breach.breach_id
            )
            await _tell(f"environment/{trial_id}", "freeze_now", freeze)
        await _tell(f"trial/{trial_id}", "breach_reported", breach)


async def _tell(workflow_id: str, signal: str, message: object) -> None:
    try:
        await workflow.get_external_workflow_handle(workflow_id).signal(signal, message)
    except ApplicationError:
        workflow.logger.warning("%s is not there to be told %s", workflow_id, signal)
