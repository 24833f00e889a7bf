"""The typed client that every door uses.

Rules of this module:

* The actor of an act is filled by the door, from who is signed in, never from a file.
* Every act has a decision id; calling again with the same id is the same act.
* Workflow ids carry the business meaning; nothing here knows a run id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import (
    ListWorkflowExecutionsRequest,
    RegisterNamespaceRequest,
)
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    WithStartWorkflowOperation,
    WorkflowHandle,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError, RPCStatusCode

from sandbox.errors import LocalError, ProcedureError
from sandbox.model.application import Application
from sandbox.model.load import LoadResult
from sandbox.model.party import Actor
from sandbox.model.proposal import Disposition
from sandbox.model.regime import Regime
from sandbox.procedure import DecisionRequest, open_case
from workflows.messages import (
    Adopt,
    Answer,
    BeginTrial,
    CastOpinion,
    ChangeSystem,
    Decide,
    DisposeComment,
    FileComment,
    ReaperInput,
    ReportLoad,
    ReviewResult,
    ReviewStatus,
    RevisionInput,
    RevisionStatus,
    StopTrial,
    Submission,
    SubmitApplication,
    TrialState,
    TrialStatus,
)
from workflows.options import queue_name
from workflows.reaper import ReaperWorkflow
from workflows.review import ReviewWorkflow
from workflows.revision import RevisionWorkflow
from workflows.trial import TrialWorkflow

QUEUE_PREFIX = "sandbox"
_REAPER = "reaper"
_RETENTION_S = 30 * 24 * 3600
"""How long Temporal keeps closed histories; the record does not depend on it."""

R = TypeVar("R")


async def connect(address: str, *, namespace: str) -> Client:
    """Connect, and make the Temporal namespace if it does not exist.

    Raises:
        LocalError: No Temporal server answers at `address`.
    """
    try:
        await _ensure_namespace(address, namespace)
        return await Client.connect(
            address, namespace=namespace, data_converter=pydantic_data_converter
        )
    except (RuntimeError, RPCError) as error:
        raise LocalError(
            f"Temporal does not answer at {address}: {error}. Start the servers with "
            "`sandbox local up`, or name one with --temporal HOST:PORT"
        ) from error


async def _ensure_namespace(address: str, namespace: str) -> None:
    client = await Client.connect(address)
    request = RegisterNamespaceRequest(
        namespace=namespace,
        workflow_execution_retention_period=Duration(seconds=_RETENTION_S),
    )
    try:
        await client.workflow_service.register_namespace(request)
    except RPCError as error:
        if error.status is not RPCStatusCode.ALREADY_EXISTS:
            raise
        return
    await _until_usable(client, namespace)


async def _until_usable(client: Client, namespace: str) -> None:
    # A new namespace reaches the server's caches after a moment; starts fail before.
    for _ in range(100):
        try:
            await client.workflow_service.list_workflow_executions(
                ListWorkflowExecutionsRequest(namespace=namespace)
            )
        except RPCError:
            await asyncio.sleep(0.1)
        else:
            return


class TrialClient:
    """What people and doors can do to one trial."""

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
        return await self._trial.execute_update(
            TrialWorkflow.begin, begin, id=begin.decision_id
        )

    async def change_system(self, change: ChangeSystem) -> Answer:
        """Roll out another version of the system."""
        return await self._trial.execute_update(
            TrialWorkflow.change_system, change, id=change.decision_id
        )

    async def stop(self, stop: StopTrial) -> Answer:
        """End the trial before it expires."""
        return await self._trial.execute_update(
            TrialWorkflow.stop, stop, id=stop.decision_id
        )

    async def report_load(
        self, result: LoadResult, *, by: Actor, decision_id: str
    ) -> Answer:
        """File the result of a load test."""
        report = ReportLoad(decision_id=decision_id, result=result, by=by)
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


class RevisionClient:
    """What people can do to one revision of a rulebook."""

    def __init__(
        self, client: Client, revision: RevisionInput, *, prefix: str = QUEUE_PREFIX
    ) -> None:
        self._client = client
        self._revision = revision
        self._id = f"revision/{revision.rulebook}/{revision.number}"
        self._queue = queue_name(prefix, "control")

    async def propose(self) -> None:
        """Start the revision; it being there already is success."""
        await self._client.start_workflow(
            RevisionWorkflow.run,
            self._revision,
            id=self._id,
            task_queue=self._queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        )

    async def comment(self, text: str, *, by: Actor, comment_id: str) -> Answer:
        """Comment on the open proposal."""
        filed = FileComment(comment_id=comment_id, text=text, by=by)
        return await self._handle.execute_update(
            RevisionWorkflow.comment, filed, id=comment_id
        )

    async def dispose(self, disposition: Disposition) -> Answer:
        """Say what became of a comment."""
        decision_id = f"disposition/{disposition.comment_id}"
        disposal = DisposeComment(
            decision_id=decision_id,
            comment_id=disposition.comment_id,
            outcome=disposition.outcome,
            reason=disposition.reason,
            by=disposition.by,
        )
        return await self._handle.execute_update(
            RevisionWorkflow.dispose, disposal, id=decision_id
        )

    async def adopt(self, reason: str, *, by: Actor, decision_id: str) -> Answer:
        """Adopt the proposal, or learn why not yet."""
        adopt = Adopt(decision_id=decision_id, reason=reason, by=by)
        return await self._handle.execute_update(
            RevisionWorkflow.adopt, adopt, id=decision_id
        )

    async def status(self) -> RevisionStatus:
        """Say where the revision stands."""
        return await self._handle.query(RevisionWorkflow.status)

    async def until(
        self, condition: Callable[[RevisionStatus], bool], *, every_s: float = 0.2
    ) -> RevisionStatus:
        """Poll the status until a condition holds, and return it."""
        return await poll(self.status, condition, every_s=every_s)

    async def finish(self) -> RevisionStatus:
        """Wait until the revision has ended, and return how."""
        return await self._handle.result()

    @property
    def _handle(self) -> WorkflowHandle[RevisionWorkflow, RevisionStatus]:
        return self._client.get_workflow_handle_for(RevisionWorkflow.run, self._id)


async def poll(
    ask: Callable[[], Awaitable[R]],
    condition: Callable[[R], bool],
    *,
    every_s: float,
) -> R:
    """Ask until a condition holds; callers bound it with `asyncio.timeout`."""
    while not condition(answer := await ask()):
        await asyncio.sleep(every_s)
    return answer


async def schedule_reaper(
    client: Client, *, every: timedelta, prefix: str = QUEUE_PREFIX
) -> None:
    """Let the reaper run on a schedule; it being there already is success."""
    action = ScheduleActionStartWorkflow(
        ReaperWorkflow.run,
        ReaperInput(),
        id=_REAPER,
        task_queue=queue_name(prefix, "control"),
    )
    schedule = Schedule(
        action=action,
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP),
    )
    try:
        await client.create_schedule(_REAPER, schedule)
    except ScheduleAlreadyRunningError:
        return
