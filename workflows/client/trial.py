"""What people and doors can do to one trial."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from temporalio.client import Client, WithStartWorkflowOperation, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError, RPCStatusCode

from sandbox.errors import ProcedureError
from sandbox.model.application import Application
from sandbox.model.load import LoadResult
from sandbox.model.party import Actor
from sandbox.model.regime import Regime
from sandbox.procedure import DecisionRequest, open_case
from workflows.client.connection import poll
from workflows.messages import (
    Answer,
    BeginTrial,
    CastOpinion,
    ChangeSystem,
    Decide,
    ReportLoad,
    ReviewResult,
    ReviewStatus,
    StopTrial,
    Submission,
    SubmitApplication,
    TrialState,
    TrialStatus,
)
from workflows.options import QUEUE_PREFIX, queue_name
from workflows.review import ReviewWorkflow
from workflows.trial import TrialWorkflow


class TrialClient:
    """What people and doors can do to one trial.

    What is done to a trial that is closed, or that never was, is a `ProcedureError`.
    """

    def __init__(
        self, client: Client, trial_id: str, *, prefix: str = QUEUE_PREFIX
    ) -> None:
        self._client = client
        self._trial_id = trial_id
        self._queue = queue_name(prefix, "control")

    @property
    def trial_id(self) -> str:
        """The trial this client speaks of."""
        return self._trial_id

    async def submit(
        self,
        application: Application,
        *,
        regime: Regime,
        manifests: list[dict[str, Any]],
        by: Actor,
        decision_id: str,
    ) -> Submission:
        """File an application; the case is opened if there is none."""
        start = WithStartWorkflowOperation(
            TrialWorkflow.run,
            TrialState(
                trial_id=self._trial_id, regime=regime, case=open_case(self._trial_id)
            ),
            id=f"trial/{self._trial_id}",
            task_queue=self._queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        )
        return await self._client.execute_update_with_start_workflow(
            TrialWorkflow.submit,
            SubmitApplication(
                decision_id=decision_id,
                application=application,
                manifests=manifests,
                by=by,
            ),
            start_workflow_operation=start,
            id=decision_id,
        )

    async def cast_opinion(self, cast: CastOpinion) -> Answer:
        """Give an authority's opinion in the open review."""
        review = await self._review()
        return await review.execute_update(
            ReviewWorkflow.cast_opinion, cast, id=cast.decision_id
        )

    async def decide(self, request: DecisionRequest, *, by: Actor) -> Answer:
        """Decide in the open review; the answer says whether it has effect."""
        review = await self._review()
        return await review.execute_update(
            ReviewWorkflow.decide,
            Decide(request=request, by=by),
            id=request.decision_id,
        )

    async def review_status(self) -> ReviewStatus:
        """Say who has been heard in the open review."""
        return await (await self._review()).query(ReviewWorkflow.status)

    async def begin(self, begin: BeginTrial) -> Answer:
        """Begin the approved trial."""
        with self._acting():
            return await self._trial.execute_update(
                TrialWorkflow.begin, begin, id=begin.decision_id
            )

    async def change_system(self, change: ChangeSystem) -> Answer:
        """Roll out another version of the system."""
        with self._acting():
            return await self._trial.execute_update(
                TrialWorkflow.change_system, change, id=change.decision_id
            )

    async def stop(self, stop: StopTrial) -> Answer:
        """End the trial before it expires."""
        with self._acting():
            return await self._trial.execute_update(
                TrialWorkflow.stop, stop, id=stop.decision_id
            )

    async def report_load(
        self, result: LoadResult, *, by: Actor, decision_id: str
    ) -> Answer:
        """File the result of a load test."""
        report = ReportLoad(decision_id=decision_id, result=result, by=by)
        with self._acting():
            return await self._trial.execute_update(
                TrialWorkflow.report_load, report, id=decision_id
            )

    async def status(self) -> TrialStatus:
        """Say where the case stands.

        Raises:
            ProcedureError: There is no such trial.
        """
        try:
            return await self._trial.query(TrialWorkflow.status)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            raise ProcedureError(
                f"there is no trial {self._trial_id}; `sandbox trial list` shows them"
            ) from error

    async def until(
        self, condition: Callable[[TrialStatus], bool], *, every_s: float = 0.2
    ) -> TrialStatus:
        """Poll the status until a condition holds, and return it."""
        return await poll(self.status, condition, every_s=every_s)

    @contextmanager
    def _acting(self) -> Iterator[None]:
        try:
            yield
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            raise ProcedureError(
                f"trial {self._trial_id} is closed, or was never filed: nothing can be"
                " done in it any more; `sandbox trial list` shows where each stands"
            ) from error

    @property
    def _trial(self) -> WorkflowHandle[TrialWorkflow, TrialStatus]:
        return self._client.get_workflow_handle_for(
            TrialWorkflow.run, f"trial/{self._trial_id}"
        )

    async def _review(self) -> WorkflowHandle[ReviewWorkflow, ReviewResult]:
        status = await self.status()
        if not status.review_id:
            raise ProcedureError(
                f"trial {self._trial_id} is {status.state}; no review is open"
            )
        return self._client.get_workflow_handle_for(
            ReviewWorkflow.run, status.review_id
        )
